"""The life cycle of an account with matrix-nio, a client library that many bots use."""

from contextlib import asynccontextmanager

import nio
from accounts import PASSWORD, Account, password_auth
from nio.responses import DeleteDevicesAuthResponse, RegisterInteractiveResponse
from registry import test


@asynccontextmanager
async def client(servers, user=""):
    """Yields a client that sends its requests to nginx."""
    connection = nio.AsyncClient(servers.nginx.url, user)
    try:
        yield connection
    finally:
        await connection.close()


def account(servers, connection):
    """The login of a client."""
    name = connection.user_id.removeprefix("@").split(":")[0]
    return Account(servers, name, connection.access_token, connection.device_id)


async def sign_up(connection, name):
    """Signs a user up through the challenge of User-Interactive Authentication."""
    challenge = await connection.register_interactive(name, PASSWORD, {"initial_device_display_name": "nio"})
    assert isinstance(challenge, RegisterInteractiveResponse), challenge
    response = await connection.register(name, PASSWORD, device_name="nio", session_token=challenge.session)
    assert isinstance(response, nio.RegisterResponse), response
    return response


@test("HS-11 matrix-nio: two users sign up, meet in a room, and read each other's messages")
async def room(servers):
    async with client(servers) as alice, client(servers) as bob:
        for connection, name in [(alice, "nio-alice"), (bob, "nio-bob")]:
            await sign_up(connection, name)
            await account(servers, connection).assert_usable()
            assert servers.synapse.devices(name) == {connection.device_id: "nio"}
            whoami = await connection.whoami()
            assert (whoami.user_id, whoami.device_id) == (f"@{name}:localhost", connection.device_id), whoami

        created = await alice.room_create(invite=[bob.user_id])
        assert isinstance(created, nio.RoomCreateResponse), created
        assert isinstance(await bob.join(created.room_id), nio.JoinResponse)
        content = {"msgtype": "m.text", "body": "hello"}
        sent = await alice.room_send(created.room_id, "m.room.message", content)
        assert isinstance(sent, nio.RoomSendResponse), sent
        synced = await bob.sync(timeout=10_000, full_state=True)
        assert isinstance(synced, nio.SyncResponse), synced
        events = synced.rooms.join[created.room_id].timeline.events
        read = [(event.sender, event.body) for event in events if isinstance(event, nio.RoomMessageText)]
        assert read == [(alice.user_id, "hello")], events


@test("HS-14 matrix-nio: a login, a new device name and deleted devices reach Synapse")
async def devices(servers):
    async with client(servers) as first, client(servers, "nio-carol") as second:
        await sign_up(first, "nio-carol")
        response = await second.login(PASSWORD, device_name="second")
        assert isinstance(response, nio.LoginResponse), response
        await account(servers, second).assert_usable()

        renamed = await first.update_device(second.device_id, {"display_name": "telephone"})
        assert isinstance(renamed, nio.UpdateDeviceResponse), renamed
        listed = {device.id: device.display_name for device in (await first.devices()).devices}
        assert listed == {first.device_id: "nio", second.device_id: "telephone"}, listed
        assert servers.synapse.devices("nio-carol") == listed

        challenge = await first.delete_devices([second.device_id])
        assert isinstance(challenge, DeleteDevicesAuthResponse), challenge
        auth = {**password_auth("nio-carol"), "session": challenge.session}
        deleted = await first.delete_devices([second.device_id], auth)
        assert isinstance(deleted, nio.DeleteDevicesResponse), deleted
        await account(servers, second).assert_ended()
        await account(servers, first).assert_usable()


@test("HS-14 matrix-nio: logout ends one token at Synapse, and logout of all devices every token")
async def logout(servers):
    name = "nio-dave"
    async with client(servers, name) as first, client(servers, name) as second, client(servers, name) as third:
        await sign_up(first, name)
        logins = [account(servers, first)]
        for connection in (second, third):
            await connection.login(PASSWORD)
            logins.append(account(servers, connection))
            await logins[-1].assert_usable()
        # matrix-nio deletes its access token at logout.
        assert isinstance(await third.logout(), nio.LogoutResponse)
        await logins[2].assert_ended()
        await logins[0].assert_usable()
        assert isinstance(await second.logout(all_devices=True), nio.LogoutResponse)
        for login in logins[:2]:
            await login.assert_ended()
        assert servers.synapse.devices(name) == {}
        response = await first.login(PASSWORD)
        assert isinstance(response, nio.LoginResponse), response
        await account(servers, first).assert_usable()
