"""Runs the embedded AWS services of `cargo run -- services` and reads their messages and tables."""

import json
import os
import re
import shlex
import subprocess
import time
import urllib.request
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parents[2]
TARGET_DIR = Path(os.environ["TARGET_DIR"])
SETTINGS = {
    "GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION": "true",
    "GATEHOUSE_PUBLIC_URL": "https://matrix.example.org",
    "GATEHOUSE_REGISTRATION_FLOWS": "m.login.dummy m.login.email.identity m.login.msisdn",
    "GATEHOUSE_SERVER_NAME": "example.org",
    "GATEHOUSE_SMS_COUNTRIES": "GB",
    "GATEHOUSE_WELL_KNOWN_HOMESERVER": "https://matrix.example.org",
}


def inherited():
    """Returns the environment without the caller's own settings for Gatehouse and AWS."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "AWS_"))}


class LocalServices:
    """The services, which run during a `with` statement."""

    def __init__(self, settings, *arguments):
        self.settings = settings
        self.arguments = arguments

    def __enter__(self):
        self.process = subprocess.Popen(
            [TARGET_DIR / "debug/gatehouse-local", "services", *self.arguments],
            env={**inherited(), **self.settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.environment = {}
        # GATEHOUSE_TABLES is the last line of the output.
        while "GATEHOUSE_TABLES" not in self.environment:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("the embedded services did not start")
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = shlex.split(value)[0]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)

    def messages(self):
        with urllib.request.urlopen(self.environment["AWS_ENDPOINT_URL_SES"]) as response:
            return json.load(response)

    def message_to(self, address):
        """Waits up to 10 seconds for a message to the address and returns the newest one."""
        for _ in range(100):
            for message in reversed(self.messages()):
                if message["to"] == address:
                    return message
            time.sleep(0.1)
        raise AssertionError(f"no message to {address}: {self.messages()}")

    def rows(self, table):
        """Returns all rows of a table in the format of DynamoDB."""
        client = boto3.client(
            "dynamodb",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_DYNAMODB"],
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )
        return client.scan(TableName=f"{self.environment['GATEHOUSE_TABLES']}-{table}")["Items"]


def link_parameters(message):
    """Returns the query parameters of the link in a mail."""
    (query,) = re.findall(r"https?://\S+/submitToken\?(\S+)", message["text"])
    return dict(pair.split("=", 1) for pair in query.split("&"))


def sms_code(message):
    """Returns the code in a text message. It is there twice: for the user, and for browsers, which fill it in."""
    (code,) = set(re.findall(r"\b\d{6}\b", message["text"]))
    return code
