"""Signs up through `cargo lambda watch`."""

import sys

from http_client import APP, Client, register_by_email
from local_services import SETTINGS, LocalServices, inherited


def main():
    # cargo-lambda puts the origin itself in the place of what a function says.
    client = Client("http://127.0.0.1:9000", allowed=APP)
    with LocalServices(SETTINGS, "--dynamodb-port=0", "--messages-port=0") as services:
        environment = inherited() | services.settings | services.environment
        command = ["cargo-lambda", "lambda", "watch", "--invoke-address", "127.0.0.1", *sys.argv[1:]]
        with client.listening(command, environment):
            register_by_email(client, services)
    print("signed up through cargo lambda watch")


if __name__ == "__main__":
    main()
