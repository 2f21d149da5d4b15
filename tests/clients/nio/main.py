"""matrix-nio, the library of many bots, registers with its own calls."""

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
from pathlib import Path

from nio import AsyncClient, ErrorResponse, RegisterResponse, WhoamiError, WhoamiResponse
from nio.responses import RegisterErrorResponse, RegisterInteractiveResponse

REPOSITORY = Path(__file__).resolve().parents[3]
BUILDS = Path(os.environ.get("TARGET_DIR", REPOSITORY / "target")) / "debug"
PASSWORD = "correct horse battery staple"
TESTS = []


class GatehouseServer:
    """One `gatehouse-local`, on a port of its own and with nothing in it."""

    def __init__(self, settings):
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GATEHOUSE_", "AWS_"))
        }
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [BUILDS / "gatehouse-local", "--listen", "127.0.0.1:0"],
            env={**inherited, "GATEHOUSE_ARGON2": "m=8,t=1,p=1", **settings},
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        ready = self.process.stdout.readline()
        found = re.match(r"Gatehouse is ready for \S+ at (http://\S+) ", ready)
        assert found, f"the server did not start: {ready!r}"
        self.url = found[1]

    def stop(self):
        """Stops it, and checks that it stops cleanly and had nothing to complain of."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.log.seek(0)
        log = self.log.read()
        assert code == 0 and not re.search(r"panicked| ERROR ", log), f"exit code {code}:\n{log}"

    def admin(self, *args):
        """Runs the operator's command with the environment that `/_local/env` prints."""
        script = f'eval "$(curl --silent --fail {self.url}/_local/env)"; exec "$0" --json "$@"'
        command = ["bash", "-c", script, BUILDS / "gatehouse-admin", *args]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test(name, **settings):
    """Adds a test in a server with these settings. Its name begins with the requirement."""

    def add(run):
        TESTS.append((name, settings, run))
        return run

    return add


@asynccontextmanager
async def client(server, token=None):
    """A client of the server."""
    one = AsyncClient(server.url)
    one.access_token = token
    try:
        yield one
    finally:
        await one.close()


async def assert_is(account, user_id, server):
    """That `account` is a registration whose token belongs to the user, on the same device."""
    assert isinstance(account, RegisterResponse), account
    assert account.user_id == user_id, account
    async with client(server, account.access_token) as other:
        who = await other.whoami()
    assert isinstance(who, WhoamiResponse), who
    assert (who.user_id, who.device_id) == (user_id, account.device_id), who
    assert who.is_guest is False, who


def assert_refused(answer, code, kind=RegisterErrorResponse):
    """That `answer` is an error with this code, read as one by the library."""
    assert isinstance(answer, kind), answer
    assert isinstance(answer, ErrorResponse) and answer.status_code == code, answer
    assert answer.message, answer


@test("UIA-11 register makes an account in one request")
async def one_request(server):
    async with client(server) as nio:
        account = await nio.register("alice", PASSWORD, device_name="nio")
        await assert_is(account, "@alice:localhost", server)
        # The library logs itself in with what it got.
        assert (nio.user_id, nio.access_token) == (account.user_id, account.access_token)


@test("REG-18 register keeps the device that the client brings")
async def own_device(server):
    async with client(server) as nio:
        nio.device_id = "BOTDEVICE"
        account = await nio.register("bot", PASSWORD)
        assert account.device_id == "BOTDEVICE", account
        await assert_is(account, "@bot:localhost", server)


@test("REG-03 register reads M_USER_IN_USE, M_INVALID_USERNAME and M_WEAK_PASSWORD")
async def refusals(server):
    async with client(server) as nio:
        assert isinstance(await nio.register("alice", PASSWORD), RegisterResponse)
    async with client(server) as nio:
        assert_refused(await nio.register("alice", PASSWORD), "M_USER_IN_USE")
        assert_refused(await nio.register("ALICE", PASSWORD), "M_USER_IN_USE")
        assert_refused(await nio.register("al ice", PASSWORD), "M_INVALID_USERNAME")
        assert_refused(await nio.register("carol", "password"), "M_WEAK_PASSWORD")
        assert nio.access_token is None


@test("TOK-11 register with a dead token in the header makes an account all the same")
async def dead_token(server):
    async with client(server, "dead") as nio:
        await assert_is(await nio.register("dave", PASSWORD), "@dave:localhost", server)


# The library shows the stages of one flow alone, the last.
@test(
    "UIA-02 register_interactive reads flows, params and session",
    GATEHOUSE_REGISTRATION_FLOWS="m.login.dummy",
)
async def challenge(server):
    async with client(server) as nio:
        answer = await nio.register_interactive("erin", PASSWORD, {"initial_device_display_name": "nio"})
        assert isinstance(answer, RegisterInteractiveResponse), answer
        assert answer.stages == ["m.login.dummy"], answer
        assert answer.params == {} and answer.completed == [], answer
        account = await nio.register("erin", PASSWORD, session_token=answer.session)
        await assert_is(account, "@erin:localhost", server)


@test(
    "UIA-60 register_with_token spends a token once and is refused the second time",
    GATEHOUSE_REGISTRATION_FLOWS="m.login.registration_token+m.login.dummy",
)
async def with_token(server):
    token = server.admin("registration-tokens", "create", "--uses", "1")["token"]
    async with client(server) as nio:
        account = await nio.register_with_token("frank", PASSWORD, token)
        await assert_is(account, "@frank:localhost", server)
    (row,) = server.admin("registration-tokens", "list")
    assert (row["left"], row["good"]) == (0, False), row
    for other in [token, "no.such-token"]:
        async with client(server) as nio:
            answer = await nio.register_with_token("grace", PASSWORD, other)
            # The library does not look at the refusal and goes on to the next stage.
            assert_refused(answer, "M_UNRECOGNIZED")
            assert nio.access_token is None
    async with client(server) as nio:
        fresh = server.admin("registration-tokens", "create")["token"]
        account = await nio.register_with_token("grace", PASSWORD, fresh)
        await assert_is(account, "@grace:localhost", server)


@test("REG-29 register reads M_FORBIDDEN where registration is closed", GATEHOUSE_REGISTRATION="closed")
async def closed(server):
    async with client(server) as nio:
        assert_refused(await nio.register("heidi", PASSWORD), "M_FORBIDDEN")


@test("WHO-01 whoami reads M_UNKNOWN_TOKEN for a token that nobody issued")
async def unknown_token(server):
    async with client(server, "dead") as nio:
        assert_refused(await nio.whoami(), "M_UNKNOWN_TOKEN", WhoamiError)


async def run_test(settings, run):
    """One test in a server of its own."""
    server = GatehouseServer(settings)
    try:
        await asyncio.wait_for(run(server), timeout=60)
        assert server.process.poll() is None, "the server fell"
    except BaseException:
        server.process.kill()
        raise
    server.stop()


def main():
    # Every error is no success, and the library warns of each.
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
