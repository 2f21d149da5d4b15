"""Changes of an account with requests as a client sends them, and their effect at Synapse."""

import asyncio

from accounts import PASSWORD, log_in, login_request, password_auth, send, sign_up
from messages import add_address
from processes import eventually, request
from registry import test

NEW_PASSWORD = "eleven purple lamps 8"


@test("HS-08 HS-09 Synapse returns the metadata, and the account page is at its URL")
async def metadata(servers):
    url = f"{servers.nginx.url}/_matrix/client/v1/auth_metadata"
    metadata = (await request("GET", url)).ok()
    assert metadata["issuer"].rstrip("/") == servers.nginx.url, metadata
    page = await request("GET", metadata["account_management_uri"])
    assert page.status == 200 and "<html" in page.body, page
    well_known = (await request("GET", f"{servers.nginx.url}/.well-known/matrix/client")).ok()
    assert well_known["m.homeserver"]["base_url"].rstrip("/") == servers.nginx.url, well_known


@test("HS-10 HS-12 a name that exists only at Synapse cannot be registered, and is not taken over")
async def foreign_name(servers):
    created = await servers.synapse.mas("POST", "provision_user", {"localpart": "only-there"})
    assert created.status == 201, created
    available = await send(servers, "GET", "/register/available", username="only-there")
    available.error(400, "M_USER_IN_USE")
    body = {"username": "only-there", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    (await send(servers, "POST", "/register", body)).error(400, "M_USER_IN_USE")
    (await send(servers, "POST", "/login", login_request("only-there"))).error(403, "M_FORBIDDEN")
    assert servers.synapse.devices("only-there") == {}
    assert (await send(servers, "GET", "/register/available", username="free-name")).ok() == {"available": True}


@test("HS-06 a device ID with a scope makes no user an administrator of Synapse")
async def scope_in_device_id(servers):
    await sign_up(servers, "scope")
    device = "X urn:synapse:admin:*"
    response = await send(servers, "POST", "/login", login_request("scope", device_id=device))
    if response.status == 200:
        token = response.body["access_token"]
        whoami = (await send(servers, "GET", "/account/whoami", token=token)).ok()
        assert whoami["device_id"] == device, whoami
        users = await request("GET", f"{servers.synapse.url}/_synapse/admin/v2/users", token=token)
        users.error(403, "M_FORBIDDEN")
    else:
        assert response.status == 400, response


@test("HS-07 after a refresh Synapse accepts the new token, keeps the device's keys, and rejects the old token")
async def refresh(servers):
    await sign_up(servers, "refresh")
    login = await log_in(servers, "refresh", refresh_token=True)
    body = (await send(servers, "POST", "/refresh", {"refresh_token": login.refresh_token})).ok()
    old, login.token = login.token, body["access_token"]
    await login.assert_usable()
    # The old token is not in Synapse's cache, so Synapse introspects it.
    (await send(servers, "GET", "/account/whoami", token=old)).error(401, "M_UNKNOWN_TOKEN")
    await login.upload_keys()
    body = (await send(servers, "POST", "/refresh", {"refresh_token": body["refresh_token"]})).ok()
    login.token = body["access_token"]
    await login.assert_usable()
    assert await login.has_keys()


@test("HS-14 a password change ends the tokens of the other devices at Synapse, and keeps the own device's keys")
async def password_change(servers):
    own, other = await sign_up(servers, "password"), await log_in(servers, "password")
    for login in (own, other):
        await login.assert_usable()
        await login.upload_keys()
    body = {"new_password": NEW_PASSWORD, "logout_devices": True, "auth": password_auth("password")}
    (await own.send("POST", "/account/password", body)).ok()
    await other.assert_ended()
    await own.assert_usable()
    assert await own.has_keys()
    (await send(servers, "POST", "/login", login_request("password"))).error(403, "M_FORBIDDEN")
    await (await log_in(servers, "password", NEW_PASSWORD)).assert_usable()


@test("HS-14 a password change without logout_devices ends no token")
async def password_change_without_logout(servers):
    own, other = await sign_up(servers, "keep"), await log_in(servers, "keep")
    body = {"new_password": NEW_PASSWORD, "logout_devices": False, "auth": password_auth("keep")}
    (await own.send("POST", "/account/password", body)).ok()
    await own.assert_usable()
    await other.assert_usable()


@test("HS-14 DELETE of a device ends its token at Synapse within a second")
async def delete_device(servers):
    own, other = await sign_up(servers, "delete"), await log_in(servers, "delete")
    await other.assert_usable()
    path = f"/devices/{other.device}"
    challenge = await own.send("DELETE", path, {})
    assert challenge.status == 401 and challenge.body["session"], challenge
    auth = {**password_auth("delete"), "session": challenge.body["session"]}
    (await own.send("DELETE", path, {"auth": auth})).ok()
    await other.assert_ended()
    await own.assert_usable()


@test("HS-11 a login with the ID of an existing device keeps the device and its keys")
async def same_device(servers):
    first = await sign_up(servers, "same", device_id="PHONE")
    await first.assert_usable()
    await first.upload_keys()
    second = await log_in(servers, "same", device_id="PHONE", initial_device_display_name="ignored")
    assert second.device == "PHONE" and second.token != first.token
    await second.assert_usable()
    assert await second.has_keys()


@test("HS-14 a device that logs out and in again has none of its old keys, and its old token is inactive")
async def device_again(servers):
    first = await sign_up(servers, "return", device_id="PHONE")
    await first.assert_usable()
    await first.upload_keys()
    (await first.send("POST", "/logout", {})).ok()
    second = await log_in(servers, "return", device_id="PHONE")
    await second.assert_usable()
    assert not await second.has_keys()
    # Synapse may accept the old token for two minutes, because the device exists again.
    assert await servers.gatehouse.introspect(first.token, servers.synapse.secret) == {"active": False}


@test("HS-16 a deactivated account has no token, no device and no free name on either side")
async def deactivation(servers):
    first, second = await sign_up(servers, "leave"), await log_in(servers, "leave")
    for login in (first, second):
        await login.assert_usable()
    (await first.send("POST", "/account/deactivate", {"auth": password_auth("leave"), "erase": False})).ok()
    for login in (first, second):
        await login.assert_ended()
    user = await servers.synapse.query_user("leave")
    assert user["is_deactivated"], user
    assert servers.gatehouse.admin("users", "show", "leave")["status"] == "deactivated"
    body = {"username": "leave", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    (await send(servers, "POST", "/register", body)).error(400, "M_USER_IN_USE")
    taken = await servers.synapse.mas("GET", "is_localpart_available", localpart="leave")
    taken.error(400, "M_USER_IN_USE")
    (await send(servers, "POST", "/login", login_request("leave"))).error(403, "M_FORBIDDEN")


@test("HS-17 an e-mail address reaches Synapse when it is added, and leaves when it is removed")
async def email(servers):
    login = await sign_up(servers, "mail")
    address = "mail@example.org"
    await add_address(login, address)

    async def has_address():
        return servers.synapse.emails("mail") == [address]

    async def has_none():
        return servers.synapse.emails("mail") == []

    await eventually("address at Synapse", has_address)
    listed = (await login.send("GET", "/account/3pid")).ok()["threepids"]
    assert [threepid["address"] for threepid in listed] == [address], listed
    (await login.send("POST", "/account/3pid/delete", {"medium": "email", "address": address})).ok()
    await eventually("removal of the address at Synapse", has_none)


@test("HS-04 HS-17 a locked account has no valid token, and keeps its devices and keys until it is unlocked")
async def lock(servers):
    login = await sign_up(servers, "locked")
    await login.upload_keys()
    other = await log_in(servers, "locked")
    servers.gatehouse.admin("users", "lock", "locked")
    # The token is not in Synapse's cache, so Synapse introspects it.
    (await other.whoami()).error(401, "M_UNKNOWN_TOKEN")
    assert set(servers.synapse.devices("locked")) == {login.device, other.device}
    servers.gatehouse.admin("users", "unlock", "locked")
    third = await log_in(servers, "locked")
    await third.assert_usable()
    await login.assert_usable()
    assert await login.has_keys()


@test("HS-11 fifty sign-ups at the same time are all usable at Synapse")
async def parallel_sign_ups(servers):
    names = [f"crowd-{number}" for number in range(50)]
    logins = await asyncio.gather(*(sign_up(servers, name) for name in names))
    for login, whoami in zip(logins, await asyncio.gather(*(login.whoami() for login in logins)), strict=True):
        assert whoami.ok()["user_id"] == login.user_id, whoami
        assert servers.synapse.devices(login.name) == {login.device: None}, login.name


@test("HS-12 of ten sign-ups with one name at the same time, one succeeds")
async def same_name(servers):
    body = {"username": "contested", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    responses = await asyncio.gather(*(send(servers, "POST", "/register", body) for _ in range(10)))
    winners = [response for response in responses if response.status == 200]
    assert len(winners) == 1, responses
    for response in responses:
        if response not in winners:
            response.error(400, "M_USER_IN_USE")
    device = winners[0].body["device_id"]
    assert list(servers.synapse.devices("contested")) == [device]


@test("HS-04 a suspended account has no valid token at Synapse, and gets one again")
async def suspension(servers):
    login = await sign_up(servers, "suspended")
    servers.gatehouse.admin("users", "suspend", "suspended")
    (await login.whoami()).error(401, "M_UNKNOWN_TOKEN")
    servers.gatehouse.admin("users", "unsuspend", "suspended")
    await (await log_in(servers, "suspended")).assert_usable()


@test("HS-15 HS-19 a password reset and a deactivation by the operator reach Synapse")
async def operator(servers):
    login, other = await sign_up(servers, "operated"), await log_in(servers, "operated")
    await login.assert_usable()
    servers.gatehouse.admin("users", "reset-password", "operated")

    async def has_no_device():
        return servers.synapse.devices("operated") == {}

    await servers.gatehouse.advance(60)
    await eventually("end of the devices at Synapse", has_no_device)
    for old in (login, other):
        (await old.whoami()).error(401, "M_UNKNOWN_TOKEN")
    servers.gatehouse.admin("users", "deactivate", "operated", "--yes")

    async def is_deactivated():
        return (await servers.synapse.query_user("operated"))["is_deactivated"]

    await servers.gatehouse.advance(60)
    await eventually("deactivation at Synapse", is_deactivated)


@test("HS-14 a deactivation with erasure leaves the rooms, and Synapse erases the user")
async def erasure(servers):
    login, guest = await sign_up(servers, "erased"), await sign_up(servers, "witness")
    room = (await login.send("POST", "/createRoom", {"preset": "public_chat"})).ok()["room_id"]
    (await guest.send("POST", f"/join/{room}", {})).ok()
    (await login.send("POST", "/account/deactivate", {"auth": password_auth("erased"), "erase": True})).ok()

    async def has_left():
        members = (await guest.send("GET", f"/rooms/{room}/joined_members")).ok()
        return list(members["joined"]) == [guest.user_id]

    await eventually("departure from the room", has_left)
    assert servers.synapse.rows("SELECT user_id FROM erased_users") == [(login.user_id,)]


@test("HS-11 a sign-up with inhibit_login creates a user at Synapse, and a later login its first device")
async def without_login(servers):
    body = {"username": "no-login", "password": PASSWORD, "auth": {"type": "m.login.dummy"}, "inhibit_login": True}
    response = (await send(servers, "POST", "/register", body)).ok()
    assert "access_token" not in response, response
    assert (await servers.synapse.query_user("no-login"))["user_id"] == response["user_id"]
    assert servers.synapse.devices("no-login") == {}
    await (await log_in(servers, "no-login")).assert_usable()


@test("HS-14 a user with many devices deletes all other devices at once")
async def many_devices(servers):
    login = await sign_up(servers, "many")
    others = [await log_in(servers, "many") for _ in range(12)]
    await others[0].assert_usable()
    body = {"devices": [other.device for other in others], "auth": password_auth("many")}
    (await login.send("POST", "/delete_devices", body)).ok()
    await others[0].assert_ended()
    assert list(servers.synapse.devices("many")) == [login.device]
