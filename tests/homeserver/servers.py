"""All servers of the tests: Gatehouse, Synapse, and the proxies in front of both."""

import base64
import os
import secrets

from call_proxy import CallProxy
from gatehouse import Gatehouse
from processes import free_ports
from proxies import Caddy, Nginx
from synapse import Synapse

SERVER_NAME = "localhost"


class Servers:
    """One process of each kind. Both servers have the same server name, secret and signing key."""

    def __init__(self, directory, port=None, with_caddy=True, **settings):
        gatehouse_port, synapse_port, caddy_port, nginx_port, call_port = free_ports(5)
        nginx_port = port or nginx_port
        public_url = f"http://127.0.0.1:{nginx_port}"
        secret = secrets.token_hex(32)
        key = base64.b64encode(os.urandom(32)).decode().rstrip("=")
        self.signing_key = f"ed25519 a_1 {key}"
        self.gatehouse = Gatehouse(
            directory,
            gatehouse_port,
            SERVER_NAME=SERVER_NAME,
            PUBLIC_URL=public_url,
            TRUSTED_PROXIES="127.0.0.1",
            SIGNING_KEY=self.signing_key,
            AUTH_APIS="both",
            HOMESERVER_URL=f"http://127.0.0.1:{call_port}",
            HOMESERVER_SECRET=secret,
            **settings,
        )
        self.synapse = Synapse(
            directory,
            synapse_port,
            server_name=SERVER_NAME,
            secret=secret,
            signing_key=self.signing_key,
            public_url=public_url,
            gatehouse_url=self.gatehouse.url,
        )
        self.calls = CallProxy(call_port, self.synapse.url)
        self.nginx = Nginx(directory, nginx_port, self.gatehouse, self.synapse)
        self.caddy = Caddy(directory, caddy_port, self.gatehouse, self.synapse) if with_caddy else None

    def all(self):
        """The processes in the order in which they start."""
        processes = [self.synapse, self.gatehouse, self.nginx, self.caddy]
        return [process for process in processes if process]

    async def start(self):
        """Starts all processes."""
        self.calls.start()
        for process in self.all():
            await process.start()

    def stop(self):
        """Ends all processes, and asserts that Gatehouse has logged no unexpected error."""
        try:
            for process in reversed(self.all()):
                process.stop()
        finally:
            self.kill()

    def kill(self):
        """Ends all processes at once."""
        for process in self.all():
            process.kill()

    def log_lengths(self):
        """The length of each server's output."""
        return {process.name: len(process.log()) for process in self.all()}

    def log_tails(self, starts):
        """The last lines of each server's output after these lengths, for the message of a failed test."""
        return "\n".join(f"--- {process.name}\n{process.log_tail(starts[process.name])}" for process in self.all())
