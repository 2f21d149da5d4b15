"""A scenario that invokes every function with events of two users and asserts the responses."""

import json
import secrets

from functions import read_event
from local_services import link_parameters, sms_code

PASSWORD = "ostrich lamp 8 quarrel"
V3 = "/_matrix/client/v3"
HOMESERVER_SECRET = "secret-of-the-homeserver"
# The settings of the functions for a homeserver, by stem. The others have no homeserver and so call none.
HOMESERVER = dict.fromkeys(
    ["account", "oauth2-introspect"],
    {
        "GATEHOUSE_HOMESERVER_URL": "http://127.0.0.1:9",
        "GATEHOUSE_HOMESERVER_SECRET": HOMESERVER_SECRET,
    },
)
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Origin, X-Requested-With, Content-Type, Accept, Authorization",
}


class Response:
    """The response of a function to API Gateway. All responses must have the CORS headers."""

    def __init__(self, stem, returned):
        self.description = f"{stem}: {returned}"
        headers = returned.get("headers") or {}
        for name, values in (returned.get("multiValueHeaders") or {}).items():
            headers[name] = values[-1]
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.status, self.text = returned.get("statusCode"), returned.get("body")
        for name, value in CORS.items():
            assert self.headers.get(name) == value, f"{name}: {self.description}"

    def assert_json(self, status, **members):
        """Asserts the status and these members, where `...` stands for any value, and returns the JSON."""
        assert self.status == status, self.description
        assert self.headers["content-type"] == "application/json", self.description
        body = json.loads(self.text)
        for name, value in members.items():
            assert name in body and value in (..., body[name]), f"{name}: {self.description}"
        return body

    def assert_error(self, status, errcode):
        self.assert_json(status, errcode=errcode, error=...)

    def assert_page(self, status=200):
        assert self.status == status, self.description
        assert self.headers["content-type"] == "text/html; charset=utf-8", self.description
        assert "frame-ancestors 'none'" in self.headers["content-security-policy"], self.description
        assert self.text.lower().startswith("<!doctype html>"), self.description


class Scenario:
    """The steps of the scenario, over a dictionary of the functions by their stems."""

    def __init__(self, functions, services):
        self.functions, self.services = functions, services
        self.values = {"homeserver_secret": HOMESERVER_SECRET}

    def invoke(self, event, body=None, **members):
        """Invokes the function that the event is named after."""
        stem = max((stem for stem in self.functions if event.startswith(stem)), key=len)
        event = read_event(event, self.values, body, **members)
        return Response(stem, self.functions[stem].invoke(event))

    def set_values(self, **values):
        """Sets values for the placeholders in the events."""
        self.values |= values

    def deliver(self, stream=True):
        """Invokes `deliver` like one of its two event sources: the stream, with all rows of the outbox, or the schedule."""
        deliver = self.functions["deliver"]
        if not stream:
            assert deliver.invoke(read_event("deliver-schedule", {})) is None
            return
        event = read_event("deliver-stream", {})
        records = [
            read_event("deliver-stream", {"outbox_id": row["pk"]["S"]})["Records"][0]
            for row in self.services.rows("outbox")
        ]
        assert records, "the outbox is empty"
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
            assert self.invoke(event).assert_json(200)["versions"][0] == "r0.5.0"
        for _ in range(2):
            self.invoke("key-v2-server").assert_json(200, server_name="example.org", signatures=...)
            well_known = self.invoke("well-known-matrix-client").assert_json(200)
            assert well_known["m.homeserver"] == {"base_url": "https://matrix.example.org"}
            self.invoke("account").assert_page()
        self.invoke("unrecognized").assert_error(404, "M_UNRECOGNIZED")
        route = {"resource": f"{V3}/register", "path": f"{V3}/register"}
        context = {"requestContext": {"resourcePath": f"{V3}/register", "httpMethod": "GET"}}
        self.invoke("unrecognized", **route, **context).assert_error(405, "M_UNRECOGNIZED")
        for _ in range(2):
            self.invoke("register-m-login-registration-token-validity").assert_json(200, valid=False)
            self.invoke("register-available").assert_json(200, available=True)

    def registration(self):
        for event in ["register-v1", "register-v2"]:
            self.invoke(event, b'{"username":"\x81"}').assert_error(400, "M_NOT_JSON")
            challenge = self.invoke(event, {"username": "alice", "password": PASSWORD})
            session = challenge.assert_json(401, flows=..., params=...)["session"]
        self.set_values(session=session)
        self.invoke("auth-fallback-web").assert_page()
        form = {"Content-Type": ["application/x-www-form-urlencoded"]}
        self.invoke("auth-fallback-web", b"", httpMethod="POST", multiValueHeaders=form).assert_page()
        # The first event registers the user, the second one gets an error because the username is taken.
        alice = self.invoke("register-v1").assert_json(200, user_id="@alice:example.org", device_id="PHONE")
        self.invoke("register-v2").assert_error(400, "M_USER_IN_USE")
        taken = {"username": ["alice"]}
        response = self.invoke("register-available", multiValueQueryStringParameters=taken)
        response.assert_error(400, "M_USER_IN_USE")
        self.set_values(access_token=alice["access_token"])
        for _ in range(2):
            self.invoke("account-whoami").assert_json(200, user_id="@alice:example.org", device_id="PHONE")
            self.invoke("capabilities").assert_json(200, capabilities=...)
        # The API and the function URL have events of different versions.
        for event in ["oauth2-introspect", "oauth2-introspect-url"]:
            self.invoke(event).assert_json(200, active=True, username="alice", device_id="PHONE")
        path = "/.well-known/openid-configuration"
        context = {"http": {"method": "GET", "path": path}, "stage": "$default"}
        discovery = self.invoke("oauth2-introspect-url", b"", rawPath=path, requestContext=context)
        discovery.assert_json(200, issuer="https://matrix.example.org/")

    def registration_with_email(self):
        """Bob registers with a mail that the stream event sends, and validates a phone number by text message."""
        self.set_values(client_secret=secrets.token_hex(16))
        mail = [self.invoke("register-email-request-token").assert_json(200)["sid"] for _ in range(2)]
        text = [self.invoke("register-msisdn-request-token").assert_json(200)["sid"] for _ in range(2)]
        assert mail[0] == mail[1] and text[0] == text[1]
        self.deliver()
        assert len(self.services.messages()) == 2, self.services.messages()
        self.set_values(**link_parameters(self.services.message_to("bob@example.org")))
        assert self.values["sid"] == mail[0]
        self.invoke("validate-submit-token").assert_page()
        for _ in range(2):
            self.invoke("validate-confirm").assert_page()
        path = f"{V3}/validate/msisdn/submitToken"
        code = sms_code(self.services.message_to("+447400123456"))
        submitted = self.invoke(
            "validate-submit-token",
            {"sid": text[0], "client_secret": self.values["client_secret"], "token": code},
            routeKey=f"POST {V3}/validate/{{medium}}/submitToken",
            rawPath=f"/v{path}",
            rawQueryString="",
            pathParameters={"medium": "msisdn"},
            requestContext={"http": {"method": "POST", "path": f"/v{path}"}, "stage": "v"},
        )
        submitted.assert_json(200, success=True)
        credentials = {"sid": mail[0], "client_secret": self.values["client_secret"]}
        auth = {"type": "m.login.email.identity", "threepid_creds": credentials}
        bob = {"username": "bob", "password": PASSWORD, "auth": auth}
        self.invoke("register-v2", bob).assert_json(200, user_id="@bob:example.org")

    def login_and_devices(self):
        self.invoke("login", b"", httpMethod="GET").assert_json(200, flows=...)
        pair = self.invoke("login").assert_json(200, device_id="LAPTOP", access_token=...)
        self.set_values(refresh_token=pair["refresh_token"])
        pair = self.invoke("refresh").assert_json(200, refresh_token=...)
        assert self.invoke("refresh").assert_json(200) == pair
        self.set_values(access_token=pair["access_token"])
        for _ in range(2):
            self.invoke("devices-device-id").assert_json(200)
            devices = self.invoke("devices").assert_json(200)["devices"]
        names = {device["device_id"]: device.get("display_name") for device in devices}
        assert names == {"PHONE": "Ålice’s phone", "LAPTOP": None}, devices
        for _ in range(2):
            self.invoke("delete-devices").assert_json(200)
        assert [device["device_id"] for device in self.invoke("devices").assert_json(200)["devices"]] == [
            "LAPTOP"
        ]

    def account_threepids(self):
        """Alice's mail is sent by the schedule."""
        self.set_values(client_secret=secrets.token_hex(16))
        for _ in range(2):
            sid = self.invoke("account-3pid-email-request-token").assert_json(200)["sid"]
            self.invoke("account-3pid-msisdn-request-token").assert_json(200, submit_url=...)
        self.deliver(stream=False)
        self.set_values(**link_parameters(self.services.message_to("alice@example.org")))
        assert self.values["sid"] == sid
        self.invoke("validate-confirm").assert_page()
        for _ in range(2):
            self.invoke("account-3pid-add").assert_json(200)
            (owned,) = self.invoke("account-3pid").assert_json(200)["threepids"]
            assert (owned["medium"], owned["address"]) == ("email", "alice@example.org"), owned
        for _ in range(2):
            self.invoke("account-password-email-request-token").assert_json(200, sid=...)
            self.invoke("account-password-msisdn-request-token").assert_json(200, sid=...)
            for event in ["account-3pid-bind", "account-3pid-unbind"]:
                self.invoke(event).assert_error(400, "M_SERVER_NOT_TRUSTED")
        for _ in range(2):
            self.invoke("account-3pid-delete").assert_json(200, id_server_unbind_result="no-support")
        assert self.invoke("account-3pid").assert_json(200)["threepids"] == []

    def logout_and_deactivation(self):
        self.invoke("account-password").assert_json(200)
        new = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}}
        new["password"] = "walnut 3 harbour comet"
        rejected = self.invoke("account-password")
        rejected.assert_json(401, errcode="M_FORBIDDEN", flows=...)
        self.invoke("login").assert_error(403, "M_FORBIDDEN")
        for event in ["logout", "logout-all"]:
            token = self.invoke("login", new).assert_json(200)["access_token"]
            self.set_values(access_token=token)
            self.invoke(event).assert_json(200)
            self.invoke(event).assert_error(401, "M_UNKNOWN_TOKEN")
            assert self.invoke("oauth2-introspect").assert_json(200) == {"active": False}
        self.set_values(access_token=self.invoke("login", new).assert_json(200)["access_token"])
        self.invoke("account-deactivate").assert_json(401, errcode="M_FORBIDDEN", session=...)
        self.invoke("account-deactivate", {"auth": new}).assert_json(200, id_server_unbind_result=...)
        self.invoke("login", new).assert_error(403, ...)
        self.deliver(stream=False)
