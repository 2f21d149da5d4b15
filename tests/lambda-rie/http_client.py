"""A client that signs up by mail, over HTTP and whichever gateway listens."""

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
    """Asks at an address, and asserts what every answer has: the origins that it is `allowed` for."""

    def __init__(self, url, allowed="*"):
        self.url, self.allowed = urlsplit(url), allowed

    @contextmanager
    def listening(self, command, environment=None):
        """Runs what listens there, to the end of a `with`."""
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
        raise SystemExit(f"nothing listens at {self.url.geturl()}")

    def ask(self, method, path, body=None, token=None, kind="application/json"):
        """The status, the headers and the body, which is read if it is JSON."""
        headers = {"Origin": APP}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = kind
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        # A function that is asked for the first time may have to be built, or its container be made.
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=900)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        headers_received = {name.lower(): value for name, value in answer.getheaders()}
        print(f"{answer.status} {method} {path.split('?')[0]}", flush=True)
        assert headers_received.get(ORIGIN) == self.allowed, f"{method} {path}: {answer.status} {headers_received} {content}"
        if headers_received.get("content-type") == "application/json":
            content = json.loads(content)
        return answer.status, content

    def expect(self, status, *request, **more):
        found, content = self.ask(*request, **more)
        assert found == status, f"{request}: {found}: {content}"
        return content

    def expect_error(self, status, errcode, *request, **more):
        content = self.expect(status, *request, **more)
        assert content["errcode"] == errcode, f"{request}: {content}"


def register_by_email(client, services):
    """From the first challenge to the end of the session."""
    assert "v1.11" in client.expect(200, "GET", "/_matrix/client/versions")["versions"]
    client.expect(200, "OPTIONS", f"{V3}/register")
    client.expect_error(404, "M_UNRECOGNIZED", "GET", "/_matrix/client/v3/no/such/path")
    client.expect_error(400, "M_NOT_JSON", "POST", f"{V3}/register", b"{")
    user = {"username": "bob", "password": PASSWORD}
    challenge = client.expect(401, "POST", f"{V3}/register", user)
    assert {"stages": ["m.login.email.identity"]} in challenge["flows"], challenge

    secret = secrets.token_hex(16)
    wish = {"client_secret": secret, "email": "bob@example.org", "send_attempt": 1}
    sid = client.expect(200, "POST", f"{V3}/register/email/requestToken", wish)["sid"]
    proof = {"sid": sid, "client_secret": secret}
    auth = {
        "type": "m.login.email.identity",
        "session": challenge["session"],
        "threepid_creds": proof,
    }
    done = user | {"auth": auth}
    client.expect_error(401, "M_UNAUTHORIZED", "POST", f"{V3}/register", done)
    link = link_parameters(services.message_to("bob@example.org"))
    page = client.expect(200, "GET", f"{V3}/validate/email/submitToken?{urlencode(link)}")
    assert page.lower().startswith(b"<!doctype html>"), page
    form = urlencode(link | {"action": "confirm"})
    kind = "application/x-www-form-urlencoded"
    client.expect(200, "POST", f"{V3}/validate/email/confirm", form, kind=kind)
    bob = client.expect(200, "POST", f"{V3}/register", done)
    whoami = client.expect(200, "GET", f"{V3}/account/whoami", token=bob["access_token"])
    assert whoami["user_id"] == bob["user_id"], whoami

    name = {"type": "m.id.user", "user": "bob"}
    login = {"type": "m.login.password", "identifier": name, "password": PASSWORD}
    client.expect_error(403, "M_FORBIDDEN", "POST", f"{V3}/login", login | {"password": "wrong"})
    token = client.expect(200, "POST", f"{V3}/login", login)["access_token"]
    client.expect(200, "POST", f"{V3}/logout", token=token)
    client.expect_error(401, "M_UNKNOWN_TOKEN", "GET", f"{V3}/account/whoami", token=token)
