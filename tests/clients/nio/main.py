"""matrix-nio, a client library that many bots use, registers through its own API."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from nio import AsyncClient, ErrorResponse, LogoutResponse, RegisterResponse, WhoamiError, WhoamiResponse
from nio.responses import RegisterErrorResponse, RegisterInteractiveResponse

REPOSITORY = Path(__file__).resolve().parents[3]
BUILDS = Path(os.environ.get("TARGET_DIR", REPOSITORY / "target")) / "debug"
PASSWORD = "correct horse battery staple"
TESTS = []


class GatehouseServer:
    """One `gatehouse-local` process on a free port, with empty tables."""

    def __init__(self, settings):
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "AWS_"))
        }
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [BUILDS / "gatehouse-local", "--listen", "127.0.0.1:0"],
            env={**inherited, "GATEHOUSE_ARGON2": "m=8,t=1,p=1", "GATEHOUSE_AUTH_APIS": "both", **settings},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        ready = self.process.stdout.readline()
        found = re.match(r"Gatehouse is ready for \S+ at (http://\S+) ", ready)
        assert found, f"gatehouse-local did not start: {ready!r}"
        self.url = found[1]

    def stop(self):
        """Stops the process and asserts that it exits with code 0 and has logged no error."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.log.seek(0)
        log = self.log.read()
        assert code == 0 and not re.search(r"panicked| ERROR ", log), (
            f"gatehouse-local exited with code {code} or logged an error:\n{log}"
        )

    def admin(self, *args):
        """Runs the admin CLI with the environment that `/_local/env` prints."""
        script = f'eval "$(curl --silent --fail {self.url}/_local/env)"; exec "$0" --json "$@"'
        command = ["bash", "-c", script, BUILDS / "gatehouse-admin", *args]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test(name, **settings):
    """Adds a test for a server with these settings. Its name begins with the ID of the requirement that it tests."""

    def add(run):
        TESTS.append((name, settings, run))
        return run

    return add


@asynccontextmanager
async def client(server, token=None):
    """Yields a client of the server, with this access token if one is given."""
    nio = AsyncClient(server.url)
    nio.access_token = token
    try:
        yield nio
    finally:
        await nio.close()


async def assert_registered(account, user_id, server):
    """Asserts that the registration succeeded and that its access token belongs to the user and the device."""
    assert isinstance(account, RegisterResponse), account
    assert account.user_id == user_id, account
    async with client(server, account.access_token) as other:
        whoami = await other.whoami()
    assert isinstance(whoami, WhoamiResponse), whoami
    assert (whoami.user_id, whoami.device_id) == (user_id, account.device_id), whoami
    assert whoami.is_guest is False, whoami


def assert_error(response, errcode, kind=RegisterErrorResponse):
    """Asserts that matrix-nio has parsed the response as an error with this errcode."""
    assert isinstance(response, kind), response
    assert isinstance(response, ErrorResponse) and response.status_code == errcode, response
    assert response.message, response


@test("UIA-11 register creates an account with one request")
async def one_request(server):
    async with client(server) as nio:
        account = await nio.register("alice", PASSWORD, device_name="nio")
        await assert_registered(account, "@alice:localhost", server)
        # matrix-nio logs itself in with the response.
        assert (nio.user_id, nio.access_token) == (account.user_id, account.access_token)


def record_steps(*steps):
    """Adds a row to the table at the end of `run`. The columns are the same as in steps.mjs."""
    if path := os.environ.get("STEPS_FILE"):
        with open(path, "a") as file:
            print(f"matrix-nio {version('matrix-nio')}", "account API", *steps, sep="\t", file=file)


@test("OUT-01 register creates an account, and logout ends its access token")
async def logs_out(server):
    signed_up = logged_out = "NO"
    try:
        async with client(server) as nio:
            account = await nio.register("alice", PASSWORD)
            await assert_registered(account, "@alice:localhost", server)
            signed_up = "yes"
            assert isinstance(await nio.logout(), LogoutResponse)
        async with client(server, account.access_token) as nio:
            assert_error(await nio.whoami(), "M_UNKNOWN_TOKEN", WhoamiError)
        logged_out = "yes"
    finally:
        record_steps(signed_up, "not supported", logged_out)


@test("REG-18 register keeps the device_id that the client sends")
async def own_device(server):
    async with client(server) as nio:
        nio.device_id = "BOTDEVICE"
        account = await nio.register("bot", PASSWORD)
        assert account.device_id == "BOTDEVICE", account
        await assert_registered(account, "@bot:localhost", server)


@test("REG-03 register fails with M_USER_IN_USE, M_INVALID_USERNAME and M_WEAK_PASSWORD")
async def registration_errors(server):
    async with client(server) as nio:
        assert isinstance(await nio.register("alice", PASSWORD), RegisterResponse)
    async with client(server) as nio:
        assert_error(await nio.register("alice", PASSWORD), "M_USER_IN_USE")
        assert_error(await nio.register("ALICE", PASSWORD), "M_USER_IN_USE")
        assert_error(await nio.register("al ice", PASSWORD), "M_INVALID_USERNAME")
        assert_error(await nio.register("carol", "password"), "M_WEAK_PASSWORD")
        assert nio.access_token is None


@test("TOK-11 register with an invalid access token in the header creates an account")
async def invalid_access_token(server):
    async with client(server, "invalid") as nio:
        await assert_registered(await nio.register("dave", PASSWORD), "@dave:localhost", server)


# matrix-nio exposes only the stages of the last flow.
@test(
    "UIA-02 register_interactive returns stages, params and session of the challenge",
    GATEHOUSE_REGISTRATION_FLOWS="m.login.dummy",
)
async def challenge(server):
    async with client(server) as nio:
        response = await nio.register_interactive("erin", PASSWORD, {"initial_device_display_name": "nio"})
        assert isinstance(response, RegisterInteractiveResponse), response
        assert response.stages == ["m.login.dummy"], response
        assert response.params == {} and response.completed == [], response
        account = await nio.register("erin", PASSWORD, session_token=response.session)
        await assert_registered(account, "@erin:localhost", server)


@test(
    "UIA-60 register_with_token uses a single-use token once and fails the second time",
    GATEHOUSE_REGISTRATION_FLOWS="m.login.registration_token+m.login.dummy",
)
async def with_token(server):
    token = server.admin("registration-tokens", "create", "--uses", "1")["token"]
    async with client(server) as nio:
        account = await nio.register_with_token("frank", PASSWORD, token)
        await assert_registered(account, "@frank:localhost", server)
    (row,) = server.admin("registration-tokens", "list")
    assert (row["left"], row["good"]) == (0, False), row
    for invalid in [token, "no.such-token"]:
        async with client(server) as nio:
            response = await nio.register_with_token("grace", PASSWORD, invalid)
            # matrix-nio ignores the rejected token and continues with the next stage.
            assert_error(response, "M_UNRECOGNIZED")
            assert nio.access_token is None
    async with client(server) as nio:
        fresh = server.admin("registration-tokens", "create")["token"]
        account = await nio.register_with_token("grace", PASSWORD, fresh)
        await assert_registered(account, "@grace:localhost", server)


@test("REG-29 register fails with M_FORBIDDEN if registration is closed", GATEHOUSE_REGISTRATION="closed")
async def closed(server):
    async with client(server) as nio:
        assert_error(await nio.register("heidi", PASSWORD), "M_FORBIDDEN")


@test("WHO-01 whoami fails with M_UNKNOWN_TOKEN for an unknown access token")
async def unknown_token(server):
    async with client(server, "invalid") as nio:
        assert_error(await nio.whoami(), "M_UNKNOWN_TOKEN", WhoamiError)


async def run_test(settings, run):
    """Runs one test with a server of its own."""
    server = GatehouseServer(settings)
    try:
        await asyncio.wait_for(run(server), timeout=60)
        assert server.process.poll() is None, "gatehouse-local exited during the test"
    except BaseException:
        server.process.kill()
        raise
    server.stop()


def main():
    # matrix-nio logs a warning for every error response; these tests expect error responses.
    logging.getLogger("nio").setLevel(logging.ERROR)
    passed = failed = 0
    for name, settings, run in TESTS:
        try:
            asyncio.run(run_test(settings, run))
            passed += 1
            print(f"ok    {name}")
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or passed == 0)


main()
