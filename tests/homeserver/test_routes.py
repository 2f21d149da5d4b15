"""nginx and Caddy send each route to the right server."""

import re

from accounts import PASSWORD, send
from processes import REPOSITORY, request
from registry import test

# Paths that Gatehouse does not declare.
OF_THE_HOMESERVER = [
    ("GET", "/_matrix/client/v3/auth/m.oauth/fallback/web"),
    ("GET", "/_matrix/client/v3/login/sso/redirect"),
    ("POST", "/_matrix/client/v1/login/get_token"),
    ("GET", "/_matrix/client/v3/sync"),
    ("POST", "/_matrix/client/v3/createRoom"),
    ("POST", "/_matrix/client/v3/keys/upload"),
    ("POST", "/_matrix/client/v3/keys/device_signing/upload"),
    ("GET", "/_matrix/client/v3/profile/%40alice%3Alocalhost"),
    ("PUT", "/_matrix/client/v3/user/%40alice%3Alocalhost/account_data/register"),
    ("PUT", "/_matrix/client/v3/rooms/%21r%3Alocalhost/send/m.room.message/login"),
    ("GET", "/_matrix/client/v3/directory/room/%23a%2Fb%3Alocalhost"),
    ("GET", "/_matrix/federation/v1/version"),
    ("GET", "/_synapse/mas/query_user"),
    ("GET", "/_synapse/admin/v1/server_version"),
]


def declared_routes():
    """Yields method, path and whether a proxy forwards the path, for each route of each function."""
    for file in sorted((REPOSITORY / "functions").glob("*/function.yaml")):
        declaration = file.read_text()
        forwards_all = not re.search(r"^reverse_proxy:", declaration, re.MULTILINE)
        # A list names the routes that a proxy forwards.
        _, _, forwarded = declaration.partition("\nreverse_proxy:\n")
        routes, _, _ = declaration.partition("\nreverse_proxy:")
        for line in re.findall(r"^  - ((?:GET|PUT|POST|DELETE) .*)$", routes, re.MULTILINE):
            is_forwarded = forwards_all or f"  - {line}\n" in forwarded
            *words, path = line.split()
            path = path.replace("{type}", "m.login.dummy").replace("{medium}", "email").replace("{action}", "logout")
            path = re.sub(r"\{\w+\}", "A%2FB", path)
            versions = [word for word in words if re.fullmatch(r"[rv]\d", word)]
            for method in words[: len(words) - len(versions)]:
                for version in versions or [None]:
                    yield method, f"/_matrix/client/{version}{path}" if version else path, is_forwarded


def is_of_gatehouse(response):
    """Whether the response has the header of API Gateway, which Synapse does not send."""
    return "x-amzn-requestid" in response.headers


async def assert_routes(servers, proxy):
    """Asserts that the proxy forwards every route to the right server."""
    forwarded = 0
    for method, path, is_forwarded in declared_routes():
        response = await request(method, proxy.url + path, {} if method in ("POST", "PUT") else None)
        assert is_of_gatehouse(response) == is_forwarded, f"{method} {path}: {response}"
        if is_forwarded:
            # The URL of a form redirects to a page.
            last = [known[:2] for known in servers.gatehouse.requests()[-2:]]
            assert (method, path) in last, path
            assert response.status != 404, f"{path}: {response}"
        forwarded += is_forwarded
    assert forwarded > 40, forwarded
    for method, path in OF_THE_HOMESERVER:
        response = await request(method, proxy.url + path, {} if method in ("POST", "PUT") else None)
        assert not is_of_gatehouse(response), f"{path}: {response}"


@test("HS-20 nginx forwards the declared routes to Gatehouse and all others to Synapse")
async def nginx(servers):
    await assert_routes(servers, servers.nginx)


@test("HS-20 Caddy forwards the declared routes to Gatehouse and all others to Synapse")
async def caddy(servers):
    await assert_routes(servers, servers.caddy)


@test("HS-20 the responses to preflight requests of browsers come from the server of the path")
async def preflight(servers):
    for path, is_ours in [("/_matrix/client/v3/login", True), ("/_matrix/client/v3/sync", False)]:
        for proxy in (servers.nginx, servers.caddy):
            response = await request("OPTIONS", proxy.url + path)
            assert response.status in (200, 204), response
            assert response.headers["Access-Control-Allow-Origin"] == "*", response
            assert is_of_gatehouse(response) == is_ours, response


@test("HS-23 an application service signs its users up through nginx, and Synapse answers its whoami")
async def application_service(servers):
    token = servers.synapse.bridge_token
    body = {"type": "m.login.application_service", "username": "bridge-alice", "inhibit_login": True}
    response = await send(servers, "POST", "/register", body, token=token)
    assert response.ok() == {"user_id": "@bridge-alice:localhost"}, response
    assert (await servers.synapse.query_user("bridge-alice"))["user_id"] == "@bridge-alice:localhost"
    whoami = await send(servers, "GET", "/account/whoami", token=token, user_id="@bridge-alice:localhost")
    assert whoami.ok()["user_id"] == "@bridge-alice:localhost", whoami
    (await send(servers, "POST", "/register", body, token=token)).error(400, "M_USER_IN_USE")


@test("HS-10 HS-23 no user can take a name of an application service, and guests cannot register")
async def exclusive_name(servers):
    body = {"username": "bridge-mallory", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    (await send(servers, "POST", "/register", body)).error(400, "M_EXCLUSIVE")
    available = await send(servers, "GET", "/register/available", username="bridge-mallory")
    available.error(400, "M_EXCLUSIVE")
    (await send(servers, "POST", "/register", {}, kind="guest")).error(403, "M_FORBIDDEN")
    assert await servers.synapse.query_user("bridge-mallory") is None
    flows = (await send(servers, "GET", "/login")).ok()["flows"]
    assert [flow["type"] for flow in flows] == ["m.login.password"], flows
