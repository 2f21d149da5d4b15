"""The life cycle of an account with matrix-js-sdk; the steps are in life.mjs."""

import asyncio
import os
from pathlib import Path

from registry import test


@test("HS-11 HS-14 HS-16 matrix-js-sdk: sign-up, room, devices, refresh, password, logout and deactivation")
async def life(servers):
    environment = {
        **os.environ,
        "NGINX_URL": servers.nginx.url,
        "SYNAPSE_URL": servers.synapse.url,
        "SYNAPSE_SECRET": servers.synapse.secret,
    }
    script = Path(__file__).with_name("life.mjs")
    node = await asyncio.create_subprocess_exec(
        "node",
        script,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await node.communicate()
    finally:
        if node.returncode is None:
            node.kill()
    assert node.returncode == 0, output.decode()
