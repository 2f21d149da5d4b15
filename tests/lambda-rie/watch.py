"""Registers by e-mail through `cargo lambda watch`."""

import sys

from http_client import APP, Client, register_by_email
from local_services import SETTINGS, LocalServices, inherited


def main():
    # cargo-lambda replaces the CORS header of the function by the origin of the request.
    client = Client("http://127.0.0.1:9000", allowed_origin=APP)
    with LocalServices(SETTINGS, "--dynamodb-port=0", "--messages-port=0") as services:
        environment = inherited() | services.settings | services.environment
        command = ["cargo-lambda", "lambda", "watch", "--invoke-address", "127.0.0.1", *sys.argv[1:]]
        with client.listening(command, environment):
            register_by_email(client, services)
    print("registered through cargo lambda watch")


if __name__ == "__main__":
    main()
