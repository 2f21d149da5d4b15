"""An outage of Synapse: sign-up and login fail until it is back, and logouts and other changes succeed."""

from contextlib import asynccontextmanager

from accounts import PASSWORD, Account, devices_of, log_in, login_request, password_auth, send, sign_up
from processes import eventually
from registry import test

NEW_PASSWORD = "eleven purple lamps 8"


@asynccontextmanager
async def outage(servers):
    """Kills Synapse, and starts it again at the end."""
    servers.synapse.kill()
    try:
        yield
    finally:
        await servers.synapse.start()


def assert_unavailable(response):
    """Asserts a 503 with the time after which the client may repeat the request."""
    assert response.status == 503, response
    assert int(response.headers["Retry-After"]) > 0, response.headers
    assert response.body["errcode"].startswith("M_"), response


@test("HS-13 a sign-up while Synapse is down gets 503, and the same session completes when Synapse is back")
async def sign_up_during_outage(servers):
    body = {"username": "patient", "password": PASSWORD}
    challenge = await send(servers, "POST", "/register", body)
    assert challenge.status == 401, challenge
    body["auth"] = {"type": "m.login.dummy", "session": challenge.body["session"]}
    async with outage(servers):
        for _ in range(2):
            assert_unavailable(await send(servers, "POST", "/register", body))
        available = await send(servers, "GET", "/register/available", username="patient")
        assert available.status == 503, available
    login = Account.of(servers, "patient", (await send(servers, "POST", "/register", body)).ok())
    await login.assert_usable()


@test("HS-13 a first request for a sign-up while Synapse is down gets 503, and leaves nothing behind")
async def first_request_during_outage(servers):
    body = {"username": "early", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    async with outage(servers):
        assert_unavailable(await send(servers, "POST", "/register", body))
    await (await sign_up(servers, "early")).assert_usable()


@test("HS-13 a login while Synapse is down gets 503, and succeeds when Synapse is back")
async def login_during_outage(servers):
    await sign_up(servers, "late")
    async with outage(servers):
        assert_unavailable(await send(servers, "POST", "/login", login_request("late")))
        wrong = await send(servers, "POST", "/login", login_request("late", "wrong"))
        wrong.error(403, "M_FORBIDDEN")
    await (await log_in(servers, "late")).assert_usable()


async def assert_carried_over(servers, *logins):
    """Asserts that Synapse has no device of these logins soon after the next run of `deliver`."""

    async def are_gone():
        return not any(login.device in servers.synapse.devices(login.name) for login in logins)

    await servers.gatehouse.advance(3600)
    await eventually("end of the devices at Synapse", are_gone)
    for login in logins:
        (await login.whoami()).error(401, "M_UNKNOWN_TOKEN")


@test("HS-15 logout while Synapse is down succeeds, and is carried over")
async def logout_during_outage(servers):
    login, other = await sign_up(servers, "out"), await log_in(servers, "out")
    await login.assert_usable()
    async with outage(servers):
        (await login.send("POST", "/logout", {})).ok()
        assert devices_of(servers, "out") == [other.device]
        assert login.device in servers.synapse.devices("out"), "Synapse must still have the device"
    await assert_carried_over(servers, login)
    await other.assert_usable()
    async with outage(servers):
        (await other.send("POST", "/logout/all", {})).ok()
    await assert_carried_over(servers, other)


@test("HS-15 a password change while Synapse is down succeeds, and its logouts are carried over")
async def password_change_during_outage(servers):
    own, other = await sign_up(servers, "switch"), await log_in(servers, "switch")
    await other.assert_usable()
    await own.upload_keys()
    async with outage(servers):
        body = {"new_password": NEW_PASSWORD, "logout_devices": True, "auth": password_auth("switch")}
        (await own.send("POST", "/account/password", body)).ok()
    await assert_carried_over(servers, other)
    await own.assert_usable()
    assert await own.has_keys()


@test("HS-15 HS-16 a deactivation while Synapse is down succeeds, and is carried over")
async def deactivation_during_outage(servers):
    login = await sign_up(servers, "gone")
    await login.assert_usable()
    async with outage(servers):
        (await login.send("POST", "/account/deactivate", {"auth": password_auth("gone")})).ok()
        assert servers.gatehouse.admin("users", "show", "gone")["status"] == "deactivated"
    await assert_carried_over(servers, login)

    async def is_deactivated():
        return (await servers.synapse.query_user("gone"))["is_deactivated"]

    await eventually("deactivation at Synapse", is_deactivated)
    assert servers.synapse.devices("gone") == {}


@test("HS-15 a device that logs out during an outage and in again afterwards has none of its old keys")
async def order_of_changes(servers):
    first = await sign_up(servers, "again", device_id="PHONE")
    await first.upload_keys()
    async with outage(servers):
        (await first.send("POST", "/logout", {})).ok()
    second = await log_in(servers, "again", device_id="PHONE")
    await second.assert_usable()
    assert not await second.has_keys(), "the logout was not carried over before the login"
    await servers.gatehouse.advance(3600)
    await second.assert_usable()


@test("HS-13 a refresh while Synapse is down succeeds")
async def refresh_during_outage(servers):
    await sign_up(servers, "fresh")
    login = await log_in(servers, "fresh", refresh_token=True)
    async with outage(servers):
        body = (await send(servers, "POST", "/refresh", {"refresh_token": login.refresh_token})).ok()
    login.token = body["access_token"]
    await login.assert_usable()


@test("HS-17 a device name that changes while Synapse is down is carried over")
async def rename_during_outage(servers):
    login = await sign_up(servers, "name")
    async with outage(servers):
        (await login.send("PUT", f"/devices/{login.device}", {"display_name": "renamed"})).ok()
    await servers.gatehouse.advance(3600)

    async def is_renamed():
        return servers.synapse.devices("name") == {login.device: "renamed"}

    await eventually("new name at Synapse", is_renamed)
