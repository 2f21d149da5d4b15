"""An HTTP client that registers by e-mail through a local API gateway."""

import http.client
import json
import secrets
import socket
import subprocess
import time
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from local_services import ROOT, link_parameters

PASSWORD = "ostrich lamp 8 quarrel"
V3 = "/_matrix/client/v3"
ORIGIN = "access-control-allow-origin"
APP = "https://app.element.io"


class Client:
    """Sends requests to a URL and asserts that every response allows the origin `allowed_origin`."""

    def __init__(self, url, allowed_origin="*"):
        self.url, self.allowed_origin = urlsplit(url), allowed_origin

    @contextmanager
    def listening(self, command, environment=None):
        """Runs the command that listens at the URL during a `with` statement."""
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            self.wait(process)
            yield
        finally:
            process.terminate()
            process.wait(timeout=120)

    def wait(self, process, seconds=120):
        for _ in range(seconds * 5):
            with socket.socket() as probe:
                if probe.connect_ex((self.url.hostname, self.url.port)) == 0:
                    return
            if process.poll() is not None:
                break
            time.sleep(0.2)
        raise SystemExit(f"{self.url.geturl()} does not accept connections")

    def request(self, method, path, body=None, token=None, content_type="application/json"):
        """Sends a request and returns the status and the body, which is parsed if it is JSON."""
        headers = {"Origin": APP}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content_type
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        # The first request to a function may have to build it or to create its container.
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=900)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        headers_received = {name.lower(): value for name, value in response.getheaders()}
        print(f"{response.status} {method} {path.split('?')[0]}", flush=True)
        assert headers_received.get(ORIGIN) == self.allowed_origin, (
            f"{method} {path}: {response.status} {headers_received} {content}"
        )
        if headers_received.get("content-type") == "application/json":
            content = json.loads(content)
        return response.status, content

    def expect(self, status, *args, **options):
        actual, content = self.request(*args, **options)
        assert actual == status, f"{args}: {actual} instead of {status}: {content}"
        return content

    def expect_error(self, status, errcode, *args, **options):
        content = self.expect(status, *args, **options)
        assert content["errcode"] == errcode, f"{args}: {content}"


def register_by_email(client, services):
    """Registers a user by e-mail, logs in and out, and checks the errors on the way."""
    assert "v1.11" in client.expect(200, "GET", "/_matrix/client/versions")["versions"]
    client.expect(200, "OPTIONS", f"{V3}/register")
    client.expect_error(404, "M_UNRECOGNIZED", "GET", "/_matrix/client/v3/no/such/path")
    client.expect_error(400, "M_NOT_JSON", "POST", f"{V3}/register", b"{")
    user = {"username": "bob", "password": PASSWORD}
    challenge = client.expect(401, "POST", f"{V3}/register", user)
    assert {"stages": ["m.login.email.identity"]} in challenge["flows"], challenge

    secret = secrets.token_hex(16)
    token_request = {"client_secret": secret, "email": "bob@example.org", "send_attempt": 1}
    sid = client.expect(200, "POST", f"{V3}/register/email/requestToken", token_request)["sid"]
    credentials = {"sid": sid, "client_secret": secret}
    auth = {
        "type": "m.login.email.identity",
        "session": challenge["session"],
        "threepid_creds": credentials,
    }
    completed = user | {"auth": auth}
    client.expect_error(401, "M_UNAUTHORIZED", "POST", f"{V3}/register", completed)
    link = link_parameters(services.message_to("bob@example.org"))
    page = client.expect(200, "GET", f"{V3}/validate/email/submitToken?{urlencode(link)}")
    assert page.lower().startswith(b"<!doctype html>"), page
    form = urlencode(link | {"action": "confirm"})
    content_type = "application/x-www-form-urlencoded"
    client.expect(200, "POST", f"{V3}/validate/email/confirm", form, content_type=content_type)
    bob = client.expect(200, "POST", f"{V3}/register", completed)
    whoami = client.expect(200, "GET", f"{V3}/account/whoami", token=bob["access_token"])
    assert whoami["user_id"] == bob["user_id"], whoami

    name = {"type": "m.id.user", "user": "bob"}
    login = {"type": "m.login.password", "identifier": name, "password": PASSWORD}
    client.expect_error(403, "M_FORBIDDEN", "POST", f"{V3}/login", login | {"password": "wrong"})
    token = client.expect(200, "POST", f"{V3}/login", login)["access_token"]
    client.expect(200, "POST", f"{V3}/logout", token=token)
    client.expect_error(401, "M_UNKNOWN_TOKEN", "GET", f"{V3}/account/whoami", token=token)
