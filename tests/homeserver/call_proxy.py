"""A proxy between Gatehouse and Synapse that can lose calls of `/_synapse/mas/`, or run code before a call."""

import asyncio
import threading
from contextlib import contextmanager

import aiohttp
from aiohttp import web
from yarl import URL


class CallProxy:
    """Forwards all requests to Synapse. Its address is the `GATEHOUSE_HOMESERVER_URL` of Gatehouse."""

    name = "call proxy"

    def __init__(self, port, synapse_url):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.synapse_url = synapse_url
        self.calls = []
        self.fault = None
        # Tests wait for commands that call Synapse, so their own event loop cannot forward the calls.
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self):
        """Listens on the port."""
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(timeout=10)

    async def listen(self):
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()

    @contextmanager
    def failing(self, call, fault):
        """In the block, `fault` handles every `call`. Its argument is a function that forwards the call."""
        self.fault = (call, fault)
        try:
            yield
        finally:
            self.fault = None

    async def handle(self, request):
        """Forwards a request, unless it fails."""
        body = await request.read()
        name = request.path.rpartition("/")[2]
        self.calls.append(name)

        async def forward():
            return await self.forward(request, body)

        if self.fault and self.fault[0] == name:
            return await self.fault[1](forward)
        return await forward()

    async def forward(self, request, body):
        """Sends a request to Synapse. A connection that fails is closed at the other side, too."""
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url = URL(self.synapse_url + request.raw_path, encoded=True)
        try:
            async with aiohttp.ClientSession() as session:
                async with session.request(request.method, url, data=body, headers=headers) as response:
                    content = await response.read()
                    return web.Response(status=response.status, body=content, content_type=response.content_type)
        except aiohttp.ClientError:
            return abort(request)


def abort(request):
    """Closes the connection without a response."""
    if request.transport:
        request.transport.abort()
    return web.Response(status=502)


async def lose_call(_forward):
    """The call does not arrive at Synapse."""
    return web.json_response({"errcode": "M_UNKNOWN", "error": "lost"}, status=502)


async def lose_response(forward):
    """Synapse makes the change, and its response is lost."""
    await forward()
    return web.json_response({"errcode": "M_UNKNOWN", "error": "lost"}, status=502)


FAULTS = {"lost before it arrives": lose_call, "lost after the change": lose_response}
