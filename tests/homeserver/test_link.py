"""Accounts that are older than the configuration of the homeserver at Gatehouse."""

from contextlib import asynccontextmanager

from accounts import log_in, login_request, send, sign_up
from processes import request
from registry import test


@asynccontextmanager
async def unlinked(servers):
    """Runs Gatehouse without a homeserver, with the same data."""
    settings = servers.gatehouse.settings
    servers.gatehouse.stop()
    servers.gatehouse.settings = {
        name: value for name, value in settings.items() if not name.startswith("HOMESERVER_")
    }
    await servers.gatehouse.start()
    try:
        yield
    finally:
        servers.gatehouse.stop()
        servers.gatehouse.settings = settings
        await servers.gatehouse.start()


@test("HS-01 without a homeserver the endpoints for it do not exist, and sign-up needs none")
async def without_homeserver(servers):
    async with unlinked(servers):
        for method, path in [("POST", "/oauth2/introspect"), ("GET", "/.well-known/openid-configuration")]:
            response = await request(method, servers.gatehouse.url + path, token=servers.synapse.secret)
            response.error(404, "M_UNRECOGNIZED")
        await sign_up(servers, "alone")
        assert await servers.synapse.query_user("alone") is None


@test("HS-11 HS-12 an account that is older than the link gets its user at the next login, if the name is free")
async def older_accounts(servers):
    async with unlinked(servers):
        older, foreign = await sign_up(servers, "older"), await sign_up(servers, "older-taken")
    (await servers.synapse.mas("POST", "provision_user", {"localpart": "older-taken"})).ok()
    # Synapse would respond with 500 to an active token without a user.
    for login in (older, foreign):
        (await login.whoami()).error(401, "M_UNKNOWN_TOKEN")
    await (await log_in(servers, "older")).assert_usable()
    refused = await send(servers, "POST", "/login", login_request("older-taken"))
    refused.error(403, "M_FORBIDDEN")
    assert servers.synapse.devices("older-taken") == {}
    for login in (older, foreign):
        (await login.send("POST", "/logout", {})).ok()
