"""Runs the tests, or only the servers. `run` describes the arguments."""

import asyncio
import logging
import signal
import sys
import tempfile
import time
import traceback

import test_account  # noqa: F401
import test_faults  # noqa: F401
import test_js  # noqa: F401
import test_link  # noqa: F401
import test_lost_calls  # noqa: F401
import test_nio  # noqa: F401
import test_oauth  # noqa: F401
import test_outage  # noqa: F401
import test_routes  # noqa: F401
import test_values  # noqa: F401
from registry import TESTS
from servers import Servers

DEFAULT_PORT = 8090
TIMEOUT = 180


async def run_tests(servers, word):
    """Runs the tests whose names contain the word, one after the other, and returns the exit code."""
    passed = failed = 0
    for name, run in TESTS:
        if word not in name:
            continue
        started, starts = time.monotonic(), servers.log_lengths()
        try:
            await asyncio.wait_for(run(servers), timeout=TIMEOUT)
            passed += 1
            print(f"ok    {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}{servers.log_tails(starts)}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


async def serve(servers):
    """Keeps the servers running until Ctrl+C."""
    print(
        f"Gatehouse and Synapse are ready. In Element choose 'Edit' or 'Other homeserver', and enter {servers.nginx.url}\n"
        f"Requests, e-mails and text messages of Gatehouse: {servers.gatehouse.url}/_local/\n"
        f"Logs and data, which are deleted at the end: {servers.gatehouse.directory}\n"
        "Press Ctrl+C to stop.",
        flush=True,
    )
    await asyncio.Event().wait()


async def main(arguments):
    """Starts the servers, uses them and stops them. Returns the exit code."""
    logging.getLogger("nio").setLevel(logging.ERROR)
    is_serving = arguments[:1] == ["--serve"]
    port = int(arguments[1]) if len(arguments) > 1 else DEFAULT_PORT
    with tempfile.TemporaryDirectory(prefix="gatehouse-homeserver-") as directory:
        servers = Servers(directory, port if is_serving else None, with_caddy=not is_serving)
        try:
            await servers.start()
            code = await (serve(servers) if is_serving else run_tests(servers, (arguments or [""])[0]))
            servers.stop()
            return code
        finally:
            servers.kill()


# The servers must end with this process.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
try:
    sys.exit(asyncio.run(main(sys.argv[1:])))
except KeyboardInterrupt:
    print()
