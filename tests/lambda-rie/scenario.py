"""Two lives in events: every function is asked, and what it answers is known beforehand."""

import json
import secrets

from functions import read_event
from local_services import sms_code, link_parameters

PASSWORD = "ostrich lamp 8 quarrel"
V3 = "/_matrix/client/v3"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Origin, X-Requested-With, Content-Type, Accept, Authorization",
}


class Answer:
    """What a function returns to API Gateway."""

    def __init__(self, told, returned):
        self.told = f"{told}: {returned}"
        headers = returned.get("headers") or {}
        for name, values in (returned.get("multiValueHeaders") or {}).items():
            headers[name] = values[-1]
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.status, self.text = returned.get("statusCode"), returned.get("body")
        for name, value in CORS.items():
            assert self.headers.get(name) == value, f"{name}: {self.told}"

    def json(self, status, **members):
        """Its JSON, which has these members; `...` is any value."""
        assert self.status == status, self.told
        assert self.headers["content-type"] == "application/json", self.told
        body = json.loads(self.text)
        for name, value in members.items():
            assert name in body and value in (..., body[name]), f"{name}: {self.told}"
        return body

    def error(self, status, errcode):
        self.json(status, errcode=errcode, error=...)

    def page(self, status=200):
        assert self.status == status, self.told
        assert self.headers["content-type"] == "text/html; charset=utf-8", self.told
        assert "frame-ancestors 'none'" in self.headers["content-security-policy"], self.told
        assert self.text.lower().startswith("<!doctype html>"), self.told


class Scenario:
    """Everybody's steps, over functions that are known by their stems."""

    def __init__(self, functions, services):
        self.functions, self.services = functions, services
        self.values = {}

    def ask(self, event, body=None, **members):
        """Gives an event to the function that it is named after."""
        stem = max((stem for stem in self.functions if event.startswith(stem)), key=len)
        event = read_event(event, self.values, body, **members)
        return Answer(stem, self.functions[stem].invoke(event))

    def set_values(self, **known):
        self.values |= known

    def deliver(self, stream=True):
        """Has `deliver` called as its two sources do: by the stream for each new row, or by the schedule."""
        deliver = self.functions["deliver"]
        if not stream:
            assert deliver.invoke(read_event("deliver-schedule", {})) is None
            return
        event = read_event("deliver-stream", {})
        records = [
            read_event("deliver-stream", {"outbox_id": row["pk"]["S"]})["Records"][0]
            for row in self.services.rows("outbox")
        ]
        assert records, "nothing waits"
        event["Records"] = records
        assert deliver.invoke(event) is None

    def run(self):
        self.unauthenticated_requests()
        self.registration()
        self.registration_with_email()
        self.login_and_devices()
        self.account_threepids()
        self.logout_and_deactivation()

    def unauthenticated_requests(self):
        for event in ["versions-v1", "versions-v2"]:
            assert self.ask(event).json(200)["versions"][0] == "r0.5.0"
        for _ in range(2):
            self.ask("key-v2-server").json(200, server_name="example.org", signatures=...)
            told = self.ask("well-known-matrix-client").json(200)
            assert told["m.homeserver"] == {"base_url": "https://matrix.example.org"}
        self.ask("unrecognized").error(404, "M_UNRECOGNIZED")
        known = {"resource": f"{V3}/register", "path": f"{V3}/register"}
        context = {"requestContext": {"resourcePath": f"{V3}/register", "httpMethod": "GET"}}
        self.ask("unrecognized", **known, **context).error(405, "M_UNRECOGNIZED")
        for _ in range(2):
            self.ask("register-m-login-registration-token-validity").json(200, valid=False)
            self.ask("register-available").json(200, available=True)

    def registration(self):
        for event in ["register-v1", "register-v2"]:
            self.ask(event, b'{"username":"\x81"}').error(400, "M_NOT_JSON")
            challenge = self.ask(event, {"username": "alice", "password": PASSWORD})
            session = challenge.json(401, flows=..., params=...)["session"]
        self.set_values(session=session)
        self.ask("auth-fallback-web").page()
        form = {"Content-Type": ["application/x-www-form-urlencoded"]}
        self.ask("auth-fallback-web", b"", httpMethod="POST", multiValueHeaders=form).page()
        # The first event registration, the second finds the name taken.
        alice = self.ask("register-v1").json(200, user_id="@alice:example.org", device_id="PHONE")
        self.ask("register-v2").error(400, "M_USER_IN_USE")
        taken = {"username": ["alice"]}
        again = self.ask("register-available", multiValueQueryStringParameters=taken)
        again.error(400, "M_USER_IN_USE")
        self.set_values(access_token=alice["access_token"])
        for _ in range(2):
            self.ask("account-whoami").json(200, user_id="@alice:example.org", device_id="PHONE")
            self.ask("capabilities").json(200, capabilities=...)

    def registration_with_email(self):
        """Bob signs up with a mail that the stream calls for, and proves a phone number with a text message."""
        self.set_values(client_secret=secrets.token_hex(16))
        mail = [self.ask("register-email-request-token").json(200)["sid"] for _ in range(2)]
        text = [self.ask("register-msisdn-request-token").json(200)["sid"] for _ in range(2)]
        assert mail[0] == mail[1] and text[0] == text[1]
        self.deliver()
        assert len(self.services.messages()) == 2, self.services.messages()
        self.set_values(**link_parameters(self.services.message_to("bob@example.org")))
        assert self.values["sid"] == mail[0]
        self.ask("validate-submit-token").page()
        for _ in range(2):
            self.ask("validate-confirm").page()
        path = f"{V3}/validate/msisdn/submitToken"
        code = sms_code(self.services.message_to("+447400123456"))
        submitted = self.ask(
            "validate-submit-token",
            {"sid": text[0], "client_secret": self.values["client_secret"], "token": code},
            routeKey=f"POST {V3}/validate/{{medium}}/submitToken",
            rawPath=f"/v{path}",
            rawQueryString="",
            pathParameters={"medium": "msisdn"},
            requestContext={"http": {"method": "POST", "path": f"/v{path}"}, "stage": "v"},
        )
        submitted.json(200, success=True)
        proof = {"sid": mail[0], "client_secret": self.values["client_secret"]}
        auth = {"type": "m.login.email.identity", "threepid_creds": proof}
        bob = {"username": "bob", "password": PASSWORD, "auth": auth}
        self.ask("register-v2", bob).json(200, user_id="@bob:example.org")

    def login_and_devices(self):
        self.ask("login", b"", httpMethod="GET").json(200, flows=...)
        pair = self.ask("login").json(200, device_id="LAPTOP", access_token=...)
        self.set_values(refresh_token=pair["refresh_token"])
        pair = self.ask("refresh").json(200, refresh_token=...)
        assert self.ask("refresh").json(200) == pair
        self.set_values(access_token=pair["access_token"])
        for _ in range(2):
            self.ask("devices-device-id").json(200)
            devices = self.ask("devices").json(200)["devices"]
        names = {device["device_id"]: device.get("display_name") for device in devices}
        assert names == {"PHONE": "Ålice’s phone", "LAPTOP": None}, devices
        for _ in range(2):
            self.ask("delete-devices").json(200)
        assert [device["device_id"] for device in self.ask("devices").json(200)["devices"]] == ["LAPTOP"]

    def account_threepids(self):
        """Alice's mail waits until the schedule finds it."""
        self.set_values(client_secret=secrets.token_hex(16))
        for _ in range(2):
            sid = self.ask("account-3pid-email-request-token").json(200)["sid"]
            self.ask("account-3pid-msisdn-request-token").json(200, submit_url=...)
        self.deliver(stream=False)
        self.set_values(**link_parameters(self.services.message_to("alice@example.org")))
        assert self.values["sid"] == sid
        self.ask("validate-confirm").page()
        for _ in range(2):
            self.ask("account-3pid-add").json(200)
            (owned,) = self.ask("account-3pid").json(200)["threepids"]
            assert (owned["medium"], owned["address"]) == ("email", "alice@example.org"), owned
        for _ in range(2):
            self.ask("account-password-email-request-token").json(200, sid=...)
            self.ask("account-password-msisdn-request-token").json(200, sid=...)
            for event in ["account-3pid-bind", "account-3pid-unbind"]:
                self.ask(event).error(400, "M_SERVER_NOT_TRUSTED")
        for _ in range(2):
            self.ask("account-3pid-delete").json(200, id_server_unbind_result="no-support")
        assert self.ask("account-3pid").json(200)["threepids"] == []

    def logout_and_deactivation(self):
        self.ask("account-password").json(200)
        new = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}}
        new["password"] = "walnut 3 harbour comet"
        wrong = self.ask("account-password")
        wrong.json(401, errcode="M_FORBIDDEN", flows=...)
        self.ask("login").error(403, "M_FORBIDDEN")
        for leaving in ["logout", "logout-all"]:
            token = self.ask("login", new).json(200)["access_token"]
            self.set_values(access_token=token)
            self.ask(leaving).json(200)
            self.ask(leaving).error(401, "M_UNKNOWN_TOKEN")
        self.set_values(access_token=self.ask("login", new).json(200)["access_token"])
        self.ask("account-deactivate").json(401, errcode="M_FORBIDDEN", session=...)
        self.ask("account-deactivate", {"auth": new}).json(200, id_server_unbind_result=...)
        self.ask("login", new).error(403, ...)
        self.deliver(stream=False)
