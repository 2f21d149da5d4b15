"""The loss of each call of Gatehouse to Synapse, and a name that is taken at Synapse during a sign-up."""

from accounts import PASSWORD, Account, devices_of, log_in, login_request, password_auth, send, sign_up
from aiohttp import web
from call_proxy import FAULTS, lose_call
from messages import add_address
from processes import eventually
from registry import test

NEW_PASSWORD = "eleven purple lamps 8"


def registration(name):
    """The body of a sign-up in one request."""
    return {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}


async def assert_same_state(servers, name):
    """Asserts that both servers have the same state of an account, soon after the next run of `deliver`."""

    async def is_same():
        ours = servers.gatehouse.admin("users", "show", name)
        theirs = await servers.synapse.query_user(name)
        if not theirs or theirs["is_deactivated"] != (ours["status"] == "deactivated"):
            return False
        emails = sorted(own["address"] for own in ours["addresses"] if own["medium"] == "email")
        same_devices = sorted(servers.synapse.devices(name)) == sorted(devices_of(servers, name))
        return same_devices and servers.synapse.emails(name) == emails

    await servers.gatehouse.advance(3600)
    await eventually(f"agreement about {name}", is_same)


def for_every_loss(calls):
    """Yields each of the calls with each kind of loss, and a name for the account."""
    for call in calls:
        for number, (kind, fault) in enumerate(FAULTS.items()):
            yield call, kind, fault, f"{call.replace('_', '-')}-{number}"


@test("HS-13 HS-18 a sign-up completes after any of its calls is lost")
async def lost_in_sign_up(servers):
    for call, kind, fault, name in for_every_loss(["is_localpart_available", "provision_user", "upsert_device"]):
        servers.calls.calls.clear()
        with servers.calls.failing(call, fault):
            response = await send(servers, "POST", "/register", registration(name))
        assert call in servers.calls.calls, (call, kind)
        assert response.status == 503, (call, kind, response)
        response = await send(servers, "POST", "/register", registration(name))
        if response.status == 400:
            # The account exists, and this request has another UIA session.
            response = await send(servers, "POST", "/login", login_request(name))
        await Account.of(servers, name, response.ok()).assert_usable()
        await assert_same_state(servers, name)


@test("HS-13 HS-18 a login completes after its call is lost, and leaves no device that only Synapse has")
async def lost_in_login(servers):
    for call, kind, fault, name in for_every_loss(["upsert_device"]):
        await sign_up(servers, f"in-{name}")
        with servers.calls.failing(call, fault):
            response = await send(servers, "POST", "/login", login_request(f"in-{name}"))
        assert response.status == 503, (kind, response)
        await assert_same_state(servers, f"in-{name}")
        await (await log_in(servers, f"in-{name}")).assert_usable()


@test("HS-15 HS-18 logout, deletion, password change, new name, 3PID and deactivation survive the loss of their calls")
async def lost_in_changes(servers):
    async def delete_device(login, other):
        auth = password_auth(login.name)
        return await login.send("POST", "/delete_devices", {"devices": [other.device], "auth": auth})

    async def change_password(login, _other):
        body = {"new_password": NEW_PASSWORD, "logout_devices": True, "auth": password_auth(login.name)}
        return await login.send("POST", "/account/password", body)

    async def rename(login, other):
        return await login.send("PUT", f"/devices/{other.device}", {"display_name": "renamed"})

    async def deactivate(login, _other):
        return await login.send("POST", "/account/deactivate", {"auth": password_auth(login.name)})

    async def remove_email(login, _other):
        address = f"{login.name}@example.org"
        assert servers.synapse.emails(login.name) == [address]
        return await login.send("POST", "/account/3pid/delete", {"medium": "email", "address": address})

    changes = {
        "provision_user": [remove_email],
        "delete_device": [lambda login, other: other.send("POST", "/logout", {}), delete_device],
        "sync_devices": [lambda login, other: other.send("POST", "/logout/all", {}), change_password],
        "update_device_display_name": [rename],
        "delete_user": [deactivate],
    }
    for call, kind, fault, name in for_every_loss(changes):
        for number, change in enumerate(changes[call]):
            user = f"{name}-{number}".replace("update-device-display-", "")
            login, other = await sign_up(servers, user), await log_in(servers, user)
            if change is remove_email:
                await add_address(login, f"{user}@example.org")
            servers.calls.calls.clear()
            with servers.calls.failing(call, fault):
                (await change(login, other)).ok()
            assert call in servers.calls.calls, (call, kind, servers.calls.calls)
            await assert_same_state(servers, user)
            if change is rename:
                assert servers.synapse.devices(user)[other.device] == "renamed", kind


@test("HS-12 a name that is taken at Synapse during a sign-up stays with its owner there")
async def name_taken_in_between(servers):
    async def assert_refused(name, response):
        response.error(400, "M_USER_IN_USE")
        await servers.gatehouse.advance(3600)
        (await send(servers, "POST", "/login", login_request(name))).error(403, "M_FORBIDDEN")
        assert servers.synapse.devices(name) == {}, name
        assert not (await servers.synapse.query_user(name))["is_deactivated"], name

    async def provision(name):
        assert (await servers.synapse.mas("POST", "provision_user", {"localpart": name})).status == 201

    async def taken_before(forward):
        await provision("stolen-0")
        return await forward()

    with servers.calls.failing("provision_user", taken_before):
        response = await send(servers, "POST", "/register", registration("stolen-0"))
    await assert_refused("stolen-0", response)

    # Synapse responds with this error to the second of two concurrent calls.
    async def taken_meanwhile(_forward):
        await provision("stolen-1")
        return web.json_response({"errcode": "M_USER_IN_USE", "error": "User ID already taken."}, status=400)

    with servers.calls.failing("provision_user", taken_meanwhile):
        response = await send(servers, "POST", "/register", registration("stolen-1"))
    await assert_refused("stolen-1", response)


@test("HS-16 a login whose call is lost before a deactivation creates no device afterwards")
async def login_before_deactivation(servers):
    login = await sign_up(servers, "parting")
    with servers.calls.failing("upsert_device", lose_call):
        assert (await send(servers, "POST", "/login", login_request("parting"))).status == 503
    (await login.send("POST", "/account/deactivate", {"auth": password_auth("parting")})).ok()
    servers.calls.calls.clear()
    await assert_same_state(servers, "parting")
    assert "upsert_device" not in servers.calls.calls, servers.calls.calls
    assert servers.synapse.devices("parting") == {}
