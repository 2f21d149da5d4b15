"""Imports the accounts of a real Synapse into `gatehouse-local` (HS-21, HS-22).

Synapse makes 1,000 users with passwords and devices, and some with other properties. The import is killed and repeated.
Afterwards, Gatehouse must accept the old passwords and the old tokens, and the report must name exactly the users that
are not imported or that change.
"""

import csv
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = Path(os.environ.get("TARGET_DIR", REPOSITORY / "target")) / "debug"
API = "/_matrix/client/v3"
ADMIN_API = "/_synapse/admin"
SERVER = "example.org"
USERS = 1000
# Every n-th user has a device with a refresh token, and is checked at the end.
SAMPLE = 7
SHARED_SECRET = "registration secret"
PEPPER = "a pepper of Synapse"
AS_TOKEN = "token-of-the-bridge"
DEADLINE = 120


class HttpClient:
    """Sends JSON requests to a base URL. Each request has a connection of its own."""

    def __init__(self, url):
        self.address = urlsplit(url).netloc

    def request(self, method, path, body=None, token=None):
        """Returns the status and the JSON of the response."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or "null")
        finally:
            connection.close()

    def ok(self, method, path, body=None, token=None):
        """Returns the JSON of the response, which must have the status 200 or 201."""
        status, answer = self.request(method, path, body, token)
        assert status in (200, 201), f"{method} {path}: {status} {answer}"
        return answer

    def login(self, name, password, device=None, refresh=False):
        identifier = {"type": "m.id.user", "user": name}
        body = {"type": "m.login.password", "identifier": identifier, "password": password, "refresh_token": refresh}
        if device:
            body["device_id"] = device
        return self.request("POST", f"{API}/login", body)

    def whoami(self, token):
        return self.request("GET", f"{API}/account/whoami", token=token)


def wait_until(condition, what):
    """Waits until the condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} took more than {DEADLINE} s"
        time.sleep(0.01)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def postgres(directory):
    """Runs a PostgreSQL server with an empty database in a directory. Yields the arguments of a connection."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data, port = directory / "postgres", free_port()
    data.mkdir()
    as_user = []
    if os.geteuid() == 0:
        # PostgreSQL does not run as root.
        shutil.chown(data, "postgres")
        directory.chmod(0o755)
        as_user = ["runuser", "-u", "postgres", "--"]
    run = lambda *command: subprocess.run(
        [*as_user, binaries / command[0], *command[1:]], check=True, capture_output=True, cwd="/"
    )
    run("initdb", "--pgdata", data / "data", "--username", "synapse", "--auth", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c fsync=off"
    run("pg_ctl", "--pgdata", data / "data", "--options", options, "--log", data / "log", "--wait", "start")
    try:
        arguments = {"user": "synapse", "password": "it's \\ secret", "host": "127.0.0.1", "port": port}
        create = ["createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "synapse"]
        run(*create, "--encoding=UTF8", "--locale=C", "--template=template0", "matrix")
        yield {**arguments, "dbname": "matrix", "cp_min": 1, "cp_max": 5}
    finally:
        run("pg_ctl", "--pgdata", data / "data", "--mode", "immediate", "stop")


class Synapse(HttpClient):
    """A Synapse process with its configuration in a directory."""

    def __init__(self, directory, database):
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.config = directory / "homeserver.yaml"
        unlimited = {"per_second": 100_000, "burst_count": 100_000}
        bridge = {
            "id": "bridge", "url": None, "as_token": AS_TOKEN, "hs_token": "unused", "sender_localpart": "bridgebot",
            "namespaces": {"users": [{"exclusive": True, "regex": "@bridge_.*"}], "rooms": [], "aliases": []},
        }
        (directory / "bridge.yaml").write_text(yaml.safe_dump(bridge))
        resources = [{"names": ["client"], "compress": False}]
        listener = {"port": self.port, "type": "http", "bind_addresses": ["127.0.0.1"], "resources": resources}
        self.config.write_text(yaml.safe_dump({
            "server_name": SERVER,
            "listeners": [listener],
            "database": database,
            "signing_key_path": str(directory / "signing.key"),
            "media_store_path": str(directory / "media"),
            "registration_shared_secret": SHARED_SECRET,
            "macaroon_secret_key": "macaroon secret",
            "form_secret": "form secret",
            "report_stats": False,
            "trusted_key_servers": [],
            "bcrypt_rounds": 4,
            "password_config": {"pepper": PEPPER},
            "refreshable_access_token_lifetime": "10m",
            "allow_guest_access": True,
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "app_service_config_files": [str(directory / "bridge.yaml")],
            "rc_registration": unlimited,
            "rc_login": {"address": unlimited, "account": unlimited, "failed_attempts": unlimited},
        }))
        generate = [sys.executable, "-m", "synapse.app.homeserver", "-c", self.config, "--generate-keys"]
        subprocess.run(generate, check=True, capture_output=True)
        self.log = directory / "synapse.log"

    @contextmanager
    def running(self):
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "synapse.app.homeserver", "-c", self.config]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_until(lambda: self.is_ready(process), "the start of Synapse")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=DEADLINE)

    def is_ready(self, process):
        assert process.poll() is None, f"Synapse did not start: {self.log.read_text()}"
        try:
            return self.request("GET", "/_matrix/client/versions")[0] == 200
        except (ConnectionError, http.client.HTTPException):
            return False

    def make_user(self, name, password, admin=False, user_type=None):
        """Makes a user in the way of `register_new_matrix_user`. Returns the response, which has an access token."""
        path = f"{ADMIN_API}/v1/register"
        nonce = self.ok("GET", path)["nonce"]
        parts = [nonce, name, password, "admin" if admin else "notadmin", *([user_type] if user_type else [])]
        mac = hmac.new(SHARED_SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac, "user_type": user_type}
        return self.ok("POST", path, body)


class Gatehouse(HttpClient):
    """A `gatehouse-local` process with empty tables."""

    def __init__(self, directory):
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "AWS_"))
        }
        settings = {
            "GATEHOUSE_SERVER_NAME": SERVER,
            "GATEHOUSE_IMPORTED_PEPPER": PEPPER,
            "GATEHOUSE_ARGON2": "m=8,t=1,p=1",
            "GATEHOUSE_LIMITS": "off",
        }
        self.log = (directory / "gatehouse.log").open("w+")
        self.process = subprocess.Popen(
            [BUILDS / "gatehouse-local", "--listen", "127.0.0.1:0"],
            env={**inherited, **settings}, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        ready = self.process.stdout.readline()
        found = re.match(r"Gatehouse is ready for \S+ at (http://\S+) ", ready)
        assert found, f"gatehouse-local did not start: {ready!r}"
        self.url = found[1]
        super().__init__(self.url)

    def stop(self):
        """Stops the process and asserts that it exits with code 0 and has logged no error."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.log.seek(0)
        log = self.log.read()
        assert code == 0 and not re.search(r"panicked| ERROR ", log), f"gatehouse-local exited with {code}:\n{log}"

    def admin(self, *arguments):
        """Starts the admin CLI with the environment that `/_local/env` prints."""
        script = f'eval "$(curl --silent --fail {self.url}/_local/env)"; exec "$0" --json "$@"'
        command = ["bash", "-c", script, BUILDS / "gatehouse-admin", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def admin_json(self, *arguments):
        """Runs the admin CLI, which must succeed, and returns its JSON."""
        process = self.admin(*arguments)
        output, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, f"{arguments}: {output[-2000:]} {errors}"
        return json.loads(output)


class Population:
    """The users that Synapse has, with their tokens."""

    def __init__(self, synapse):
        self.synapse = synapse
        # The responses to logins, by username.
        self.devices = {}
        # The users that the report must name, with the finding.
        self.special = {}

    def password(self, name):
        # Synapse and Gatehouse must normalise it in the same way.
        return f"pass of {name} \u212b\ufb01"

    def make(self):
        names = [f"user{number}" for number in range(USERS)]
        with ThreadPoolExecutor(8) as pool:
            for name, device in zip(names, pool.map(self.make_user, names)):
                self.devices[name] = device
        self.make_special_users()

    def make_user(self, name):
        synapse, password = self.synapse, self.password(name)
        first = synapse.make_user(name, password)
        devices = [first]
        if int(name.removeprefix("user")) % SAMPLE == 0:
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


def import_into(gatehouse, population, directory):
    """Imports the users of Synapse, with an interruption. Returns the findings of the report."""
    report = directory / "report.csv"
    command = ["import", "synapse", "--homeserver-config", population.synapse.config]
    dry = gatehouse.admin_json(*command, "--dry-run")
    assert (dry["new"], dry["not_imported"]) == (population.accounts(), len(population.not_imported())), dry
    assert gatehouse.login("user0", population.password("user0"))[0] == 403
    command += ["--report", report]
    killed = gatehouse.admin(*command)
    is_taken = lambda name: gatehouse.request("GET", f"{API}/register/available?username={name}")[0] == 400
    wait_until(lambda: is_taken("user0") or killed.poll() is not None, "the first user")
    killed.kill()
    killed.wait()
    again = gatehouse.admin_json(*command)
    assert again["imported_before"] > 0 and again["new"] > 0, "the import was not interrupted in its middle"
    assert again["new"] + again["imported_before"] == population.accounts()
    last = gatehouse.admin_json(*command)
    assert (last["new"], last["imported_before"]) == (0, population.accounts()), last
    counts = ["devices", "access_tokens", "refresh_tokens"]
    assert [last[name] for name in counts] == [dry[name] for name in counts]
    print(f"      killed after {again['imported_before']} of {population.accounts()} accounts; {dry['devices']} devices")
    with report.open() as rows:
        findings = {}
        for row in csv.DictReader(rows):
            findings.setdefault(row["user"].split(":")[0].removeprefix("@"), set()).add(row["finding"])
    return findings


def check_user(gatehouse, population, name):
    """Checks the tokens and the password of a user without any special property."""
    devices = population.devices[name]
    shown = gatehouse.admin_json("users", "show", name)
    assert {device["device_id"] for device in shown["devices"]} == {device["device_id"] for device in devices}, shown
    expected = [(device, device["access_token"]) for device in devices]
    if len(devices) > 1:
        *_, second, third, fourth = devices
        # Every other client has received the response of its last refresh.
        if int(name.removeprefix("user")) % 2:
            expected.append((fourth, fourth["lost"]["access_token"]))
        else:
            again = gatehouse.ok("POST", f"{API}/refresh", {"refresh_token": fourth["refresh_token"]})
            assert again["access_token"] == fourth["lost"]["access_token"]
        for device in (second, third):
            new = gatehouse.ok("POST", f"{API}/refresh", {"refresh_token": device["refresh_token"]})
            expected.append((device, new["access_token"]))
    for device, token in expected:
        status, me = gatehouse.whoami(token)
        assert status == 200, f"{name}: {me}"
        assert (me["user_id"], me["device_id"]) == (f"@{name}:{SERVER}", device["device_id"]), me
    status, answer = gatehouse.login(name, population.password(name))
    assert status == 200, f"{name}: {answer}"
    assert gatehouse.login(name, population.password(name) + "x")[0] == 403


def check_special_users(gatehouse, population):
    login = lambda name: gatehouse.login(name, population.password(name))
    token = lambda name: population.devices[name][0]["access_token"]
    status, answer = gatehouse.whoami(token("locked"))
    assert (status, answer["errcode"]) == (401, "M_USER_LOCKED"), answer
    gatehouse.admin_json("users", "unlock", "locked")
    for name in ["locked", "suspended", "shadow", "robot", "addressed", "relogin"]:
        status, me = gatehouse.whoami(token(name))
        assert status == 200 and me["user_id"] == f"@{name}:{SERVER}", f"{name}: {me}"
        assert login(name)[0] == 200, name
    assert gatehouse.admin_json("users", "show", "suspended")["status"] == "suspended"
    for name in ["deactivated", "erased"]:
        shown = gatehouse.admin_json("users", "show", name)
        assert (shown["status"], shown["erased"]) == ("deactivated", name == "erased"), shown
        assert login(name)[0] == 403 and gatehouse.whoami(token(name))[0] == 401
    addresses = gatehouse.admin_json("users", "show", "addressed")["addresses"]
    assert {own["address"] for own in addresses} == {"addressed@example.org", "447400123456"}, addresses
    body = {"type": "m.login.password", "password": population.password("addressed")}
    body["identifier"] = {"type": "m.id.thirdparty", "medium": "email", "address": "ADDRESSED@example.org"}
    gatehouse.ok("POST", f"{API}/login", body)


def test(kind):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if kind == "postgres":
            with postgres(directory) as arguments:
                test_with(directory, {"name": "psycopg2", "args": arguments})
        else:
            test_with(directory, {"name": "sqlite3", "args": {"database": str(directory / "homeserver.db")}})


def test_with(directory, database):
    population = Population(Synapse(directory, database))
    with population.synapse.running():
        population.make()
    gatehouse = Gatehouse(directory)
    try:
        findings = import_into(gatehouse, population, directory)
        assert findings == population.special, findings
        for number in range(0, USERS, SAMPLE):
            check_user(gatehouse, population, f"user{number}")
            check_user(gatehouse, population, f"user{number + 1 if number + 1 < USERS else 1}")
        check_special_users(gatehouse, population)
    except BaseException:
        gatehouse.process.kill()
        raise
    gatehouse.stop()


def main():
    failed = 0
    for kind in sys.argv[1:]:
        assert kind in ("sqlite", "postgres"), f"unknown database {kind}"
        try:
            test(kind)
            print(f"ok    HS-21, HS-22 import of {USERS} users from a Synapse with {kind}")
        except AssertionError as error:
            failed += 1
            print(f"FAIL  import from a Synapse with {kind}: {error}")
    print(f"{len(sys.argv) - 1 - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
