"""Signs up through `sam local start-api`."""

import subprocess
import sys
import tomllib

from http_client import V3, Client, register_by_email
from local_services import ROOT, LocalServices


def overrides():
    """What `samconfig.toml` gives to the functions there."""
    with open(ROOT / "samconfig.toml", "rb") as file:
        parameters = tomllib.load(file)["default"]["local_start_api"]["parameters"]
    given = dict(item.split("=", 1) for item in parameters["parameter_overrides"])
    return given, f"http://127.0.0.1:{parameters['port']}"


def main():
    arguments = sys.argv[1:]
    given, url = overrides()
    if "--no-build" in arguments:
        arguments.remove("--no-build")
    else:
        subprocess.run(["sam", "build"], cwd=ROOT, check=True)
    settings = {
        "GATEHOUSE_PUBLIC_URL": given["PublicUrl"],
        "GATEHOUSE_SECRET": given["Secret"],
        "GATEHOUSE_TABLES": "local",
    }
    # Where containers find this machine: on Linux at the address of Docker's bridge.
    address = "172.17.0.1" if sys.platform == "linux" else "127.0.0.1"
    client = Client(url)
    with LocalServices(settings, f"--address={address}") as services:
        with client.listening(["sam", "local", "start-api", *arguments]):
            # Bytes that are no text; cargo-lambda passes on text alone.
            client.expect_error(400, "M_NOT_JSON", "POST", f"{V3}/register", b'{"username":"\x81"}')
            register_by_email(client, services)
    print("signed up through sam local start-api")


if __name__ == "__main__":
    main()
