"""Lost, late and concurrent calls: afterwards both servers have the same accounts and devices."""

import asyncio
import signal
import time
from contextlib import asynccontextmanager

from accounts import PASSWORD, Account, devices_of, log_in, login_request, password_auth, send, sign_up
from processes import eventually
from registry import test


@asynccontextmanager
async def silence(servers):
    """Synapse accepts connections and does not respond. At the end it handles the requests that it has received."""
    servers.synapse.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        servers.synapse.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def within(seconds):
    """Asserts that the block takes at most this time."""
    started = time.monotonic()
    yield
    taken = time.monotonic() - started
    assert taken < seconds, f"{taken:.1f} s"


async def assert_same_devices(servers, name):
    """Asserts that both servers have the same devices, soon after the next run of `deliver`."""

    async def are_same():
        return sorted(servers.synapse.devices(name)) == sorted(devices_of(servers, name))

    await servers.gatehouse.advance(3600)
    await eventually(f"agreement about the devices of {name}", are_same)


@test("HS-13 while Synapse is silent, a sign-up and a login get 503 within eight seconds, and complete later")
async def silent_sign_up(servers):
    await sign_up(servers, "hush")
    body = {"username": "quiet", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    async with silence(servers):
        async with within(8):
            response = await send(servers, "POST", "/register", body)
            assert response.status == 503 and "Retry-After" in response.headers, response
        async with within(8):
            response = await send(servers, "POST", "/login", login_request("hush"))
            assert response.status == 503 and "Retry-After" in response.headers, response
    await (await sign_up(servers, "quiet")).assert_usable()
    await (await log_in(servers, "hush")).assert_usable()
    for name in ("hush", "quiet"):
        await assert_same_devices(servers, name)


@test("HS-14 HS-15 while Synapse is silent, a logout and a deactivation succeed within five seconds")
async def silent_logout(servers):
    login, other = await sign_up(servers, "mute"), await log_in(servers, "mute")
    async with silence(servers):
        async with within(5):
            (await login.send("POST", "/logout", {})).ok()
        async with within(5):
            (await other.send("POST", "/account/deactivate", {"auth": password_auth("mute")})).ok()
    await assert_same_devices(servers, "mute")

    async def is_deactivated():
        return (await servers.synapse.query_user("mute"))["is_deactivated"]

    await eventually("deactivation at Synapse", is_deactivated)
    for gone in (login, other):
        (await gone.whoami()).error(401, "M_UNKNOWN_TOKEN")


@test("HS-15 a device that logs out while Synapse is silent and in again afterwards has none of its old keys")
async def silent_logout_and_login(servers):
    first = await sign_up(servers, "blink", device_id="PHONE")
    await first.assert_usable()
    await first.upload_keys()
    async with silence(servers):
        (await first.send("POST", "/logout", {})).ok()
    second = await log_in(servers, "blink", device_id="PHONE")
    await second.assert_usable()
    assert not await second.has_keys()


@test("HS-16 a login that Synapse carries out after the deactivation leaves no device")
async def late_login(servers):
    login = await sign_up(servers, "hasty")
    async with silence(servers):
        late = asyncio.create_task(send(servers, "POST", "/login", login_request("hasty")))
        await asyncio.sleep(0.5)
        (await login.send("POST", "/account/deactivate", {"auth": password_auth("hasty")})).ok()
        assert (await late).status in (403, 503), late.result()
    for _ in range(2):
        await assert_same_devices(servers, "hasty")
    assert servers.synapse.devices("hasty") == {}
    assert (await servers.synapse.query_user("hasty"))["is_deactivated"]


@test("HS-18 a Gatehouse that ends during sign-ups, logins and logouts leaves nothing on one side only")
async def crash(servers):
    login = await sign_up(servers, "crash")
    async with silence(servers):
        body = {"username": "crashed", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        requests = [
            send(servers, "POST", "/register", body),
            send(servers, "POST", "/login", login_request("crash")),
            login.send("POST", "/logout", {}),
        ]
        tasks = [asyncio.create_task(request) for request in requests]
        await asyncio.sleep(0.5)
        servers.gatehouse.kill()
        await asyncio.gather(*tasks, return_exceptions=True)
    await servers.gatehouse.start()
    await assert_same_devices(servers, "crash")
    # If the logout was not made, its client repeats it later.
    await (login.assert_usable() if login.device in devices_of(servers, "crash") else login.assert_ended())
    # The name is taken if the account was created before the crash.
    response = await send(servers, "POST", "/register", body)
    if response.status == 200:
        await Account.of(servers, "crashed", response.body).assert_usable()
    else:
        response.error(400, "M_USER_IN_USE")
        await (await log_in(servers, "crashed")).assert_usable()
    await assert_same_devices(servers, "crashed")


async def retry(attempt):
    """Repeats a request while its response is 429 because of other requests about the same user."""
    while True:
        response = await attempt()
        if response.status != 429:
            return response
        await asyncio.sleep(0.2)


@test("HS-15 logins and logouts at the same time end with the same devices on both sides")
async def concurrent_logins(servers):
    await sign_up(servers, "busy")

    async def login():
        response = await retry(lambda: send(servers, "POST", "/login", login_request("busy")))
        return Account.of(servers, "busy", response.ok())

    for _ in range(3):
        logins = await asyncio.gather(*(login() for _ in range(6)))
        ends = [(logins[number], "/logout") for number in range(3)] + [(logins[3], "/logout/all")]
        new_logins = [login() for _ in range(3)]
        calls = [retry(lambda account=account, path=path: account.send("POST", path, {})) for account, path in ends]
        await asyncio.gather(*calls, *new_logins)
    await assert_same_devices(servers, "busy")
