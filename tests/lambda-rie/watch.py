"""Signs up through `cargo lambda watch`."""

import sys

from http_client import APP, Client, sign_up
from local_services import SETTINGS, House, inherited


def main():
    # cargo-lambda puts the origin itself in the place of what a function says.
    client = Client("http://127.0.0.1:9000", allowed=APP)
    with House(SETTINGS, "--dynamodb-port=0", "--messages-port=0") as house:
        environment = inherited() | house.settings | house.environment
        command = ["cargo-lambda", "lambda", "watch", "--invoke-address", "127.0.0.1", *sys.argv[1:]]
        with client.listening(command, environment):
            sign_up(client, house)
    print("signed up through cargo lambda watch")


if __name__ == "__main__":
    main()
