"""Gatehouse as `cargo run` starts it."""

import json
import re
import subprocess

from processes import BUILDS, Process, request


# Expected errors: responses while Synapse does not respond, and leases of `deliver` that end because a test advances
# the clock.
EXPECTED_ERRORS = " 503 M_UNKNOWN|the lease of an outbox row ended before its outcome was saved"


class Gatehouse(Process):
    """One `gatehouse-local` process. Its data directory survives a restart."""

    name = "gatehouse"

    def __init__(self, directory, port, **settings):
        super().__init__(directory, port)
        self.settings = settings

    def command(self):
        return [BUILDS / "gatehouse-local", "--listen", f"127.0.0.1:{self.port}", "--data", self.directory / "data"]

    def environment(self):
        # A cheap password hash and no rate limits: the tests come from one address.
        fast = {"GATEHOUSE_ARGON2": "m=8,t=1,p=1", "GATEHOUSE_LIMITS": "off"}
        settings = {f"GATEHOUSE_{name}": value for name, value in self.settings.items()}
        return {**super().environment(), **fast, **settings}

    def stop(self, seconds=20):
        """Ends the process, and asserts that it has logged no unexpected error."""
        code = super().stop(seconds)
        errors = re.findall(r".*(?:panicked| ERROR ).*", self.log())
        faults = [error for error in errors if not re.search(EXPECTED_ERRORS, error)]
        assert code == 0 and not faults, f"Gatehouse ended with {code}: {faults}"
        return code

    def requests(self):
        """Method, path and status of each request so far."""
        return re.findall(r"^\S+ (?:ERROR )?([A-Z]+) (\S+) (\d{3})\b", self.log(), re.MULTILINE)

    async def introspect(self, token, secret):
        """Introspects an access token, as Synapse does."""
        form = {"token": token, "token_type_hint": "access_token"}
        return (await request("POST", f"{self.url}/oauth2/introspect", token=secret, form=form)).ok()

    def start_admin(self, *arguments):
        """Starts the admin CLI with the environment that `/_local/env` prints."""
        script = f'eval "$(curl --silent --fail {self.url}/_local/env)"; exec "$0" --json "$@"'
        command = ["bash", "-c", script, BUILDS / "gatehouse-admin", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment(), stdout=pipe, stderr=pipe, text=True)

    def admin(self, *arguments):
        """Runs the admin CLI, which must succeed, and returns its JSON."""
        process = self.start_admin(*arguments)
        output, errors = process.communicate()
        assert process.returncode == 0, f"{arguments}: {output[-2000:]} {errors}"
        return json.loads(output)

    async def advance(self, seconds):
        """Advances the clock, and waits until the work that is due then is done."""
        response = await request("POST", f"{self.url}/_local/clock", {"advance_seconds": seconds})
        response.ok()
