"""Accounts that are older than the configuration of the homeserver at Gatehouse."""

from contextlib import asynccontextmanager

from accounts import log_in, login_request, send, sign_up
from call_proxy import lose_call
from processes import eventually, request
from registry import test


@asynccontextmanager
async def unlinked(servers):
    """Runs Gatehouse without a homeserver, with the same data."""
    settings = servers.gatehouse.settings
    servers.gatehouse.stop()
    kept = {name: value for name, value in settings.items() if not name.startswith("HOMESERVER_")}
    servers.gatehouse.settings = {**kept, "AUTH_APIS": "legacy"}
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


@test("HS-19 the operator declares that both accounts of a name belong to one person, who can then log in")
async def adoption(servers):
    async with unlinked(servers):
        await sign_up(servers, "adopted")
    (await servers.synapse.mas("POST", "provision_user", {"localpart": "adopted"})).ok()
    (await send(servers, "POST", "/login", login_request("adopted"))).error(403, "M_FORBIDDEN")
    servers.gatehouse.admin("homeserver", "adopt", "adopted", "--yes")
    await (await log_in(servers, "adopted")).assert_usable()


@test("HS-19 the operator compares users with Synapse, and repairs a device that only one side has")
async def comparison(servers):
    login, other = await sign_up(servers, "compare"), await log_in(servers, "compare")
    deleted = {"localpart": "compare", "device_id": other.device}
    (await servers.synapse.mas("POST", "delete_device", deleted)).ok()
    added = {"localpart": "compare", "device_id": "STRAY"}
    (await servers.synapse.mas("POST", "upsert_device", added)).ok()
    (await servers.synapse.mas("POST", "provision_user", {"localpart": "compare-stray"})).ok()
    names = ["compare", "compare-stray"]
    config = servers.synapse.directory / "homeserver.yaml"
    report = servers.gatehouse.admin("homeserver", "sync", "--dry-run", "--homeserver-config", config, *names)
    compared, stray = report["users"]
    assert compared["devices_only_at_homeserver"] == ["STRAY"], report
    assert compared["devices_only_here"] == [other.device], report
    assert stray["difference"] == "exists only at the homeserver", report
    assert set(servers.synapse.devices("compare")) == {login.device, "STRAY"}
    servers.gatehouse.admin("homeserver", "sync", "compare")
    assert set(servers.synapse.devices("compare")) == {login.device, other.device}
    await other.assert_usable()


@test("HS-19 the operator lists the changes that Synapse has not got yet")
async def pending_changes(servers):
    login = await sign_up(servers, "pending")

    def pending():
        return [update["user"] for update in servers.gatehouse.admin("homeserver", "pending")["pending"]]

    with servers.calls.failing("delete_device", lose_call):
        (await login.send("POST", "/logout", {})).ok()
        assert "pending" in pending()
    await servers.gatehouse.advance(3600)

    async def is_done():
        return "pending" not in pending()

    await eventually("end of the pending change", is_done)
    assert servers.synapse.devices("pending") == {}
