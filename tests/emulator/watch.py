"""Signs up through `cargo lambda watch`."""

import os
import subprocess
import sys

from browser import Client, sign_up
from house import ROOT, SETTINGS, House


def main():
    subprocess.run(
        ["cargo", "build", "--locked", "--package", "gatehouse-local"], cwd=ROOT, check=True
    )
    client = Client("http://127.0.0.1:9000")
    with House(SETTINGS, "--dynamodb-port=0", "--messages-port=0") as house:
        environment = os.environ | house.settings | house.environment
        watch = subprocess.Popen(
            ["cargo-lambda", "lambda", "watch", *sys.argv[1:]], cwd=ROOT, env=environment
        )
        try:
            client.wait(watch)
            sign_up(client, house)
        finally:
            watch.terminate()
            watch.wait(timeout=120)
    print("signed up through cargo lambda watch")


if __name__ == "__main__":
    main()
