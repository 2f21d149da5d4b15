"""Accounts of the tests, and requests that their clients send through nginx."""

from dataclasses import dataclass

from processes import eventually, request

PASSWORD = "correct horse battery staple"
CLIENT = "/_matrix/client/v3"


def password_auth(name, password=PASSWORD):
    """The stage with which an account owner confirms an operation."""
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": password}


@dataclass
class Account:
    """One login of a user."""

    servers: object
    name: str
    token: str
    device: str
    refresh_token: str | None = None

    @property
    def user_id(self):
        return f"@{self.name}:{self.servers.synapse.server_name}"

    @classmethod
    def of(cls, servers, name, body):
        """The login in the response to a sign-up or login."""
        return cls(servers, name, body["access_token"], body["device_id"], body.get("refresh_token"))

    async def send(self, method, path, body=None, **params):
        """Sends a request with the access token."""
        return await send(self.servers, method, path, body, token=self.token, **params)

    async def whoami(self):
        """Requests the owner of the access token from Synapse."""
        return await self.send("GET", "/account/whoami")

    async def assert_usable(self):
        """Asserts that Synapse accepts the token for this user and device, and that both servers have the device."""
        whoami = (await self.whoami()).ok()
        assert (whoami["user_id"], whoami["device_id"]) == (self.user_id, self.device), whoami
        user = await self.servers.synapse.query_user(self.name)
        assert user and user["user_id"] == self.user_id and not user["is_deactivated"], user
        assert self.device in self.servers.synapse.devices(self.name)
        assert self.device in devices_of(self.servers, self.name)

    async def assert_ended(self, seconds=1):
        """Asserts that Synapse rejects the token within this time, and that neither server has the device."""

        async def is_refused():
            return (await self.whoami()).status == 401

        await eventually("end of the token", is_refused, seconds)
        (await self.whoami()).error(401, "M_UNKNOWN_TOKEN")
        assert self.device not in self.servers.synapse.devices(self.name)
        assert self.device not in devices_of(self.servers, self.name)

    async def upload_keys(self):
        """Uploads the end-to-end keys of the device."""
        keys = {f"ed25519:{self.device}": "public+key"}
        device_keys = {
            "user_id": self.user_id,
            "device_id": self.device,
            "algorithms": ["m.megolm.v1.aes-sha2"],
            "keys": keys,
            "signatures": {self.user_id: keys},
        }
        (await self.send("POST", "/keys/upload", {"device_keys": device_keys})).ok()

    async def has_keys(self):
        """Whether Synapse has the end-to-end keys of the device."""
        found = (await self.send("POST", "/keys/query", {"device_keys": {self.user_id: []}})).ok()
        return self.device in found["device_keys"].get(self.user_id, {})


async def send(servers, method, path, body=None, token=None, **params):
    """Sends a request to nginx."""
    return await request(method, f"{servers.nginx.url}{CLIENT}{path}", body, token, params)


async def sign_up(servers, name, **members):
    """Signs a user up with one request."""
    body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}, **members}
    return Account.of(servers, name, (await send(servers, "POST", "/register", body)).ok())


def login_request(name, password=PASSWORD, **members):
    """The body of a login with a password."""
    identifier = {"type": "m.id.user", "user": name}
    return {"type": "m.login.password", "identifier": identifier, "password": password, **members}


async def log_in(servers, name, password=PASSWORD, **members):
    """Logs a user in with the password."""
    body = login_request(name, password, **members)
    return Account.of(servers, name, (await send(servers, "POST", "/login", body)).ok())


def devices_of(servers, name):
    """The IDs of the devices that are logged in at Gatehouse."""
    devices = servers.gatehouse.admin("users", "show", name)["devices"]
    return [device["device_id"] for device in devices if device["logged_in"]]
