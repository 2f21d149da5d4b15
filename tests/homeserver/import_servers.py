"""The servers of the import: a Synapse that first has accounts of its own, its database, and Gatehouse."""

import asyncio
import hashlib
import hmac
import http.client
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import gatehouse
from processes import Process, free_ports

API = "/_matrix/client/v3"
ADMIN_API = "/_synapse/admin"
SERVER = "example.org"
SHARED_SECRET = "registration secret"
PEPPER = "a pepper of Synapse"
AS_TOKEN = "token-of-the-bridge"


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


class SqliteDatabase:
    """A SQLite file."""

    def __init__(self, path):
        self.path = path
        self.configuration = {"name": "sqlite3", "args": {"database": str(path)}}

    def execute(self, statement):
        """Runs a statement while Synapse is stopped. Returns the rows."""
        with sqlite3.connect(self.path) as database:
            return database.execute(statement).fetchall()


class PostgresDatabase:
    """A database of a PostgreSQL server. `arguments` are those of a connection."""

    def __init__(self, psql, arguments):
        self.psql = psql
        self.arguments = arguments
        self.configuration = {"name": "psycopg2", "args": {**arguments, "cp_min": 1, "cp_max": 5}}

    def execute(self, statement):
        """Runs a statement. Returns the rows."""
        target = [str(self.arguments[name]) for name in ("host", "port", "user", "dbname")]
        options = [part for pair in zip(("-h", "-p", "-U", "-d"), target) for part in pair]
        command = [self.psql, *options, "--quiet", "--no-align", "--tuples-only", "--command", statement]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]


@contextmanager
def postgres(directory):
    """Runs a PostgreSQL server with an empty database in a directory. Yields the database."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data, port = directory / "postgres", free_ports(1)[0]
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
        yield PostgresDatabase(binaries / "psql", {**arguments, "dbname": "matrix"})
    finally:
        run("pg_ctl", "--pgdata", data / "data", "--mode", "immediate", "stop")


@contextmanager
def sqlite(directory):
    """Yields the database."""
    yield SqliteDatabase(directory / "homeserver.db")


class Synapse(HttpClient, Process):
    """A Synapse with its configuration in a directory. It has accounts of its own until it is delegated."""

    name = "synapse"

    def __init__(self, directory, database):
        Process.__init__(self, directory, free_ports(1)[0])
        HttpClient.__init__(self, self.url)
        self.database = database
        self.config = self.directory / "homeserver.yaml"
        self.secret = secrets.token_hex(32)
        bridge = {
            "id": "bridge", "url": None, "as_token": AS_TOKEN, "hs_token": "unused", "sender_localpart": "bridgebot",
            "namespaces": {"users": [{"exclusive": True, "regex": "@bridge_.*"}], "rooms": [], "aliases": []},
        }
        (self.directory / "bridge.yaml").write_text(json.dumps(bridge))
        self.configure()
        generate = [*self.command(), "--generate-keys"]
        subprocess.run(generate, check=True, capture_output=True, cwd=directory)

    def configure(self, delegated_to=None):
        """Writes the configuration. With `delegated_to`, this URL has the accounts."""
        unlimited = {"per_second": 100_000, "burst_count": 100_000}
        resources = [{"names": ["client"], "compress": False}]
        listener = {"port": self.port, "type": "http", "bind_addresses": ["127.0.0.1"], "resources": resources}
        shared = {
            "server_name": SERVER,
            "listeners": [listener],
            "database": self.database.configuration,
            "signing_key_path": str(self.directory / "signing.key"),
            "media_store_path": str(self.directory / "media"),
            "macaroon_secret_key": "macaroon secret",
            "form_secret": "form secret",
            "report_stats": False,
            "trusted_key_servers": [],
            "app_service_config_files": [str(self.directory / "bridge.yaml")],
            "rc_message": unlimited,
            "rc_joins": {"local": unlimited},
            "rc_joins_per_room": unlimited,
        }
        own_accounts = {
            "registration_shared_secret": SHARED_SECRET,
            "bcrypt_rounds": 4,
            "password_config": {"pepper": PEPPER},
            "refreshable_access_token_lifetime": "10m",
            "allow_guest_access": True,
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "rc_registration": unlimited,
            "rc_login": {"address": unlimited, "account": unlimited, "failed_attempts": unlimited},
        }
        # As docs/importing.md describes it.
        delegated = {
            "matrix_authentication_service": {"enabled": True, "endpoint": f"{delegated_to}/", "secret": self.secret},
            "enable_registration": False,
            "password_config": {"enabled": False},
        }
        # YAML contains JSON.
        self.config.write_text(json.dumps(shared | (delegated if delegated_to else own_accounts)))

    def command(self):
        return [os.environ["SYNAPSE_PYTHON"], "-m", "synapse.app.homeserver", "--config-path", self.config]

    @contextmanager
    def running(self):
        """Runs Synapse with the present configuration."""
        asyncio.run(self.start())
        try:
            yield
        finally:
            self.stop(60)

    def make_user(self, name, password, admin=False, user_type=None):
        """Makes a user in the way of `register_new_matrix_user`. Returns the response, which has an access token."""
        path = f"{ADMIN_API}/v1/register"
        nonce = self.ok("GET", path)["nonce"]
        parts = [nonce, name, password, "admin" if admin else "notadmin", *([user_type] if user_type else [])]
        mac = hmac.new(SHARED_SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac, "user_type": user_type}
        return self.ok("POST", path, body)


class Gatehouse(HttpClient, gatehouse.Gatehouse):
    """Gatehouse without accounts, which will have those of a Synapse."""

    def __init__(self, directory, synapse):
        gatehouse.Gatehouse.__init__(
            self,
            directory,
            free_ports(1)[0],
            SERVER_NAME=SERVER,
            IMPORTED_PEPPER=PEPPER,
            HOMESERVER_URL=synapse.url,
            HOMESERVER_SECRET=synapse.secret,
        )
        HttpClient.__init__(self, self.url)
