"""The users that a Synapse with accounts of its own has before the import."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from import_servers import ADMIN_API, API, AS_TOKEN, SERVER

# Every n-th user has devices with a refresh token. These users, and as many others, are checked after the import.
SAMPLE = 7


class Population:
    """The users that Synapse has, with their tokens."""

    def __init__(self, synapse, size):
        self.synapse = synapse
        self.size = size
        # The responses to logins, by username.
        self.devices = {}
        # The users that the report must name, with the finding.
        self.special = {}
        # The room that the sampled users are in.
        self.room = None

    def password(self, name):
        # Synapse and Gatehouse must normalise it in the same way.
        return f"pass of {name} \u212b\ufb01"

    def make(self):
        names = [f"user{number}" for number in range(self.size)]
        with ThreadPoolExecutor(8) as pool:
            for name, device in zip(names, pool.map(self.make_user, names)):
                self.devices[name] = device
        self.make_room()
        self.make_special_users()

    def make_user(self, name):
        synapse, password = self.synapse, self.password(name)
        first = synapse.make_user(name, password)
        devices = [first]
        if name in self.sample():
            status, second = synapse.login(name, password, f"DEVICE_{name}", refresh=True)
            assert status == 200, second
            devices.append(second)
            # The tokens of the refresh are used.
            third = synapse.login(name, password, refresh=True)[1]
            third |= synapse.ok("POST", f"{API}/refresh", {"refresh_token": third["refresh_token"]})
            synapse.ok("GET", f"{API}/account/whoami", token=third["access_token"])
            devices.append(third)
            # The response of the refresh is lost: both pairs of tokens are valid.
            fourth = synapse.login(name, password, refresh=True)[1]
            lost = synapse.ok("POST", f"{API}/refresh", {"refresh_token": fourth["refresh_token"]})
            devices.append(fourth | {"lost": lost})
        return devices

    def sample(self, remainder=0):
        """The sampled users. With the remainder 1, users that have one device each."""
        return [f"user{number}" for number in range(remainder, self.size, SAMPLE)]

    def token(self, name):
        """The access token of the first login, which cannot be refreshed."""
        return self.devices[name][0]["access_token"]

    def make_room(self):
        """Makes a room with all sampled users."""
        creator, *members = self.sample() + self.sample(1)
        body = {"preset": "public_chat"}
        self.room = self.synapse.ok("POST", f"{API}/createRoom", body, self.token(creator))["room_id"]
        for name in members:
            self.synapse.ok("POST", f"{API}/join/{quote(self.room)}", {}, self.token(name))

        # The keys of the device must survive everything.
        device, keys = self.devices[creator][0]["device_id"], {}
        keys[f"ed25519:{device}"] = "public+key"
        own = {"user_id": f"@{creator}:{SERVER}", "device_id": device}
        own |= {"algorithms": ["m.megolm.v1.aes-sha2"], "keys": keys, "signatures": {own["user_id"]: keys}}
        self.synapse.ok("POST", f"{API}/keys/upload", {"device_keys": own}, self.token(creator))

    def check_keys(self, token):
        """Asserts that Synapse has the end-to-end keys of the first device of the first user."""
        id, device = f"@user0:{SERVER}", self.devices["user0"][0]["device_id"]
        found = self.synapse.ok("POST", f"{API}/keys/query", {"device_keys": {id: []}}, token)
        assert device in found["device_keys"].get(id, {}), found

    def make_special_users(self):
        synapse = self.synapse
        root = synapse.make_user("root", self.password("root"), admin=True)["access_token"]
        self.special["root"] = {"admin", "token"}
        user = lambda name: f"{ADMIN_API}/v2/users/{quote(f'@{name}:{SERVER}')}"
        for name in ["locked", "suspended", "deactivated", "erased", "shadow", "addressed", "puppet", "relogin"]:
            self.devices[name] = [synapse.make_user(name, self.password(name))]
        self.devices["robot"] = [synapse.make_user("robot", self.password("robot"), user_type="bot")]
        self.special["robot"] = {"user-type"}
        synapse.ok("PUT", user("locked"), {"locked": True}, root)
        suspend = f"{ADMIN_API}/v1/suspend/{quote(f'@suspended:{SERVER}')}"
        synapse.ok("PUT", suspend, {"suspend": True}, root)
        for name, erase in [("deactivated", False), ("erased", True)]:
            path = f"{ADMIN_API}/v1/deactivate/{quote(f'@{name}:{SERVER}')}"
            synapse.ok("POST", path, {"erase": erase}, root)
        synapse.ok("POST", f"{ADMIN_API}/v1/users/{quote(f'@shadow:{SERVER}')}/shadow_ban", {}, root)
        self.special["shadow"] = {"shadow-ban"}
        addresses = [{"medium": "email", "address": "Addressed@Example.org"}, {"medium": "msisdn", "address": "447400123456"}]
        external = [{"auth_provider": "oidc-test", "external_id": "5"}]
        synapse.ok("PUT", user("addressed"), {"threepids": addresses, "external_ids": external}, root)
        self.special["addressed"] = {"identity-provider"}
        # An administrator logs in as the user, which makes a token without a device.
        synapse.ok("POST", f"{ADMIN_API}/v1/users/{quote(f'@puppet:{SERVER}')}/login", {}, root)
        # A second login with the same device ID.
        status, again = synapse.login("relogin", self.password("relogin"), self.devices["relogin"][0]["device_id"])
        assert status == 200, again
        synapse.ok("GET", f"{API}/account/whoami", token=again["access_token"])
        self.devices["relogin"] = [again]
        self.special["relogin"] = {"token"}
        guest = synapse.ok("POST", f"{API}/register?kind=guest", {})
        self.special[guest["user_id"].split(":")[0].removeprefix("@")] = {"guest"}
        ghost = {"type": "m.login.application_service", "username": "bridge_ghost", "inhibit_login": True}
        synapse.ok("POST", f"{API}/register", ghost, AS_TOKEN)
        self.special["bridge_ghost"] = {"appservice"}

    def not_imported(self):
        return [name for name, findings in self.special.items() if findings & {"guest", "appservice"}]

    def accounts(self):
        """The number of accounts that are imported."""
        return len(self.devices) + 1
