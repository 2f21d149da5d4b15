"""The functions of `template.yaml`, each a process under the AWS Lambda Runtime Interface Emulator."""

import base64
import io
import json
import os
import platform
import re
import socket
import string
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

import yaml

from cpu_quota import CpuQuota
from local_services import ROOT, TARGET_DIR

ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
RIE = Path(sysconfig.get_path("purelib")) / f"samcli/local/rapid/aws-lambda-rie-{ARCHITECTURE}"


class Template(yaml.SafeLoader):
    """A YAML loader that accepts CloudFormation's tags and ignores their values."""


Template.add_multi_constructor("!", lambda loader, tag, node: None)


def read_template():
    """Returns the stem, the memory in MB and the individual settings of each function, by logical ID."""
    with open(ROOT / "template.yaml", encoding="utf-8") as file:
        resources = yaml.load(file, Template)["Resources"]
    found = {}
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = resource["Properties"]
        variables = properties.get("Environment", {}).get("Variables", {})
        own = {name: value for name, value in variables.items() if isinstance(value, str)}
        stem = resource["Metadata"]["BuildProperties"]["Binary"]
        found[name] = (stem, properties["MemorySize"], own)
    return found


def read_event(name, values, body=None, **members):
    """Returns an event of `events/` in which the `$name` placeholders are replaced by `values`. `body` and `members`
    replace parts of the event."""

    def fill(value):
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner) for inner in value]
        return string.Template(value).safe_substitute(values) if isinstance(value, str) else value

    event = json.loads((ROOT / "events" / f"{name}.json").read_text(encoding="utf-8")) | members
    encoded = event.get("isBase64Encoded")
    if body is not None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        encoded = True
    elif encoded:
        content = base64.b64decode(event["body"])
    event = fill(event)
    if encoded:
        try:
            content = string.Template(content.decode()).safe_substitute(values).encode()
        except UnicodeDecodeError:
            pass  # Not text, and therefore without placeholders.
        event["body"], event["isBase64Encoded"] = base64.b64encode(content).decode(), True
    return event


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Function:
    """One function, started by its first event as on Lambda. With `quota_mb`, it gets the CPU share for this memory size."""

    def __init__(self, name, stem, memory, settings, services, quota_mb=None):
        self.name, self.stem, self.memory = name, stem, memory
        self.program = TARGET_DIR / "lambda" / stem / "bootstrap"
        self.cpu_quota = CpuQuota(quota_mb) if quota_mb else None
        # The embedded services identify the function by its access key and reject calls that its policy does not allow.
        self.environment = services.environment | services.settings | settings | {"AWS_ACCESS_KEY_ID": name}
        self.process = None

    def start(self):
        self.port = free_port()
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [
                RIE,
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{self.port}",
                "--runtime-api-address",
                f"127.0.0.1:{free_port()}",
                *(self.cpu_quota.command(self.program) if self.cpu_quota else [self.program]),
            ],
            env={"PATH": os.environ["PATH"], **self.environment},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        for _ in range(200):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit(f"{self.stem}: the emulator does not accept connections")

    def invoke(self, event):
        """Invokes the function and returns its response."""
        if self.process is None:
            self.start()
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=30) as response:
                return json.load(response)
        except (OSError, ValueError) as error:
            raise SystemExit(f"{self.stem}: {error}; its log:\n{self.read_log()}") from None

    def read_log(self):
        self.log.seek(0)
        return self.log.read()

    def durations_ms(self):
        """Returns the durations that the emulator has measured, in milliseconds: first of the init phase, from the start
        of the process until it requests its first event, then of each event."""
        log = self.read_log()
        init = re.findall(r"INIT REPORT\(durationMs: ([\d.]+)\)", log)
        events = re.findall(r"INVOKE RTDONE\(status: success, .*duration: ([\d.]+)ms\)", log)
        return [float(millis) for millis in init + events]

    def peak_memory_mb(self):
        """Returns the peak memory of the process in MB."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        (child,) = [child for thread in threads for child in thread.read_text().split()]
        status = Path(f"/proc/{child}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

    def package_size(self):
        """Returns the size in bytes of the deployment package, as sam uploads it."""
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as package:
            package.write(self.program, "bootstrap")
        return memory.tell()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.cpu_quota:
            self.cpu_quota.close()
