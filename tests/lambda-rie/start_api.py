"""Registers by e-mail through `sam local start-api`."""

import subprocess
import sys
import tomllib

from http_client import V3, Client, register_by_email
from local_services import ROOT, LocalServices


def read_samconfig():
    """Returns the template parameters that `samconfig.toml` sets for `sam local start-api`, and the URL of the API."""
    with open(ROOT / "samconfig.toml", "rb") as file:
        parameters = tomllib.load(file)["default"]["local_start_api"]["parameters"]
    overrides = dict(item.split("=", 1) for item in parameters["parameter_overrides"])
    return overrides, f"http://127.0.0.1:{parameters['port']}"


def main():
    arguments = sys.argv[1:]
    overrides, url = read_samconfig()
    if "--no-build" in arguments:
        arguments.remove("--no-build")
    else:
        subprocess.run(["sam", "build"], cwd=ROOT, check=True)
    settings = {
        "GATEHOUSE_PUBLIC_URL": overrides["PublicUrl"],
        "GATEHOUSE_SECRET": overrides["Secret"],
        "GATEHOUSE_TABLES": "local",
    }
    # Containers reach this machine on Linux at the address of Docker's bridge.
    address = "172.17.0.1" if sys.platform == "linux" else "127.0.0.1"
    client = Client(url)
    with LocalServices(settings, f"--address={address}") as services:
        with client.listening(["sam", "local", "start-api", *arguments]):
            # A body that is not UTF-8. watch.py cannot test it, because cargo-lambda forwards only text.
            client.expect_error(400, "M_NOT_JSON", "POST", f"{V3}/register", b'{"username":"\x81"}')
            register_by_email(client, services)
    print("registered through sam local start-api")


if __name__ == "__main__":
    main()
