"""Processes of the tests, the ports that they listen on, and requests to them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = Path(os.environ.get("TARGET_DIR", REPOSITORY / "target")) / "debug"


def free_ports(count):
    """Returns ports of 127.0.0.1 on which no process listens."""
    with contextlib.ExitStack() as sockets:
        found = []
        for _ in range(count):
            listener = sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            found.append(listener.getsockname()[1])
        return found


async def eventually(what, poll, seconds=15):
    """Calls `poll` until it returns a true value, and returns that value."""
    end = time.monotonic() + seconds
    while True:
        if result := await poll():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"no {what} after {seconds} s")
        await asyncio.sleep(0.05)


@dataclass
class Response:
    """A response with its parsed JSON, or its text if it is not JSON."""

    status: int
    body: object
    headers: object = field(repr=False)

    def ok(self):
        """Returns the body of a response with a 2xx status."""
        assert 200 <= self.status < 300, self
        return self.body

    def error(self, status, errcode):
        """Asserts that this is a Matrix error."""
        assert (self.status, self.body.get("errcode")) == (status, errcode), self
        return self.body


async def request(method, url, body=None, token=None, params=None, form=None, timeout=60):
    """Sends a request with a JSON body or a form, if there is one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session:
        async with session.request(
            method, url, json=body, data=form, headers=headers, params=params
        ) as response:
            text = await response.text()
            with contextlib.suppress(ValueError):
                return Response(response.status, json.loads(text), response.headers)
            return Response(response.status, text, response.headers)


class Process:
    """A server process. Its output goes to a file, which the messages of failed tests contain."""

    name = "a process"

    def __init__(self, directory, port):
        self.directory = Path(directory)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log_path = self.directory / f"{self.name}.log"
        self.process = None

    def command(self):
        """The command line of the process."""
        raise NotImplementedError

    def environment(self):
        """The environment of the process, without the caller's settings for Gatehouse and AWS."""
        return {name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "AWS_"))}

    async def start(self):
        """Starts the process, and waits until it responds."""
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.directory, env=self.environment(), stdout=log, stderr=log
            )
        await eventually(f"response of {self.name}", self.is_ready, seconds=60)

    async def is_ready(self):
        """Whether the process accepts connections."""
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log_tail()}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def kill(self):
        """Ends the process at once, like a crash of the machine."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds=20):
        """Asks the process to end, and returns its exit code. Kills it if it does not end in time."""
        if not self.process:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def log(self):
        """The output so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, start=0, lines=15):
        """The last lines of the output after `start` characters."""
        return "\n".join(self.log()[start:].splitlines()[-lines:])
