"""Imports the accounts of a real Synapse into `gatehouse-local`, and returns to Synapse (HS-11, HS-14, HS-21, HS-22).

Synapse makes users with passwords and devices, and some with other properties. The import is killed and repeated. The
report must name exactly the users that are not imported or that change. Then Synapse uses Gatehouse for all accounts:
old passwords and old tokens must be valid at both servers, and a token must end at both with its device. At the end
Synapse has its own accounts again, as docs/importing.md describes it.
"""

import argparse
import asyncio
import csv
import sys
import tempfile
import time
import traceback
from pathlib import Path
from urllib.parse import quote

from import_return import check_return, return_to_synapse, use_gatehouse
from import_servers import API, SERVER, Gatehouse, Synapse, postgres, sqlite
from population import Population

USERS = 1000
DATABASES = {"sqlite": sqlite, "postgres": postgres}
DEADLINE = 120


def wait_until(condition, what):
    """Waits until the condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"{what} took more than {DEADLINE} s"
        time.sleep(0.01)


def import_into(gatehouse, population):
    """Imports the users of Synapse, with an interruption. Returns the findings of the report."""
    report = gatehouse.directory / "report.csv"
    command = ["import", "synapse", "--homeserver-config", population.synapse.config]
    dry = gatehouse.admin(*command, "--dry-run")
    assert (dry["new"], dry["not_imported"]) == (population.accounts(), len(population.not_imported())), dry
    assert gatehouse.login("user0", population.password("user0"))[0] == 403
    command += ["--report", report]
    killed = gatehouse.start_admin(*command)
    is_taken = lambda name: gatehouse.request("GET", f"{API}/register/available?username={name}")[0] == 400
    wait_until(lambda: is_taken("user0") or killed.poll() is not None, "the first user")
    killed.kill()
    killed.wait()
    again = gatehouse.admin(*command)
    assert again["imported_before"] > 0 and again["new"] > 0, "the import was not interrupted in its middle"
    assert again["new"] + again["imported_before"] == population.accounts()
    last = gatehouse.admin(*command)
    assert (last["new"], last["imported_before"]) == (0, population.accounts()), last
    counts = ["devices", "access_tokens", "refresh_tokens"]
    assert [last[name] for name in counts] == [dry[name] for name in counts]
    print(f"      killed after {again['imported_before']} of {population.accounts()} accounts; {dry['devices']} devices")
    with report.open() as rows:
        findings = {}
        for row in csv.DictReader(rows):
            findings.setdefault(row["user"].split(":")[0].removeprefix("@"), set()).add(row["finding"])
    return findings


def check_user(gatehouse, synapse, population, name):
    """Checks the tokens, at both servers, and the password of a user without any special property."""
    devices = population.devices[name]
    shown = gatehouse.admin("users", "show", name)
    assert {device["device_id"] for device in shown["devices"]} == {device["device_id"] for device in devices}, shown
    expected = [(device, device["access_token"]) for device in devices]
    if len(devices) > 1:
        *_, second, third, fourth = devices
        # Every other client has received the response of its last refresh.
        if int(name.removeprefix("user")) % 2:
            expected.append((fourth, fourth["lost"]["access_token"]))
        else:
            again = gatehouse.ok("POST", f"{API}/refresh", {"refresh_token": fourth["refresh_token"]})
            assert again["access_token"] == fourth["lost"]["access_token"]
        for device in (second, third):
            new = gatehouse.ok("POST", f"{API}/refresh", {"refresh_token": device["refresh_token"]})
            expected.append((device, new["access_token"]))
    for device, token in expected:
        for server in (gatehouse, synapse):
            status, me = server.whoami(token)
            assert status == 200, f"{name}: {me}"
            assert (me["user_id"], me["device_id"]) == (f"@{name}:{SERVER}", device["device_id"]), me
    # Messages after the import are sent with tokens from before it.
    transaction = f"{API}/rooms/{quote(population.room)}/send/m.room.message/after-the-import"
    synapse.ok("PUT", transaction, {"msgtype": "m.text", "body": name}, population.token(name))
    status, answer = gatehouse.login(name, population.password(name))
    assert status == 200, f"{name}: {answer}"
    assert synapse.whoami(answer["access_token"])[0] == 200, name
    assert gatehouse.login(name, population.password(name) + "x")[0] == 403


def check_special_users(gatehouse, synapse, population):
    login = lambda name: gatehouse.login(name, population.password(name))
    token = population.token
    assert synapse.whoami(token("locked"))[0] == 401
    status, answer = gatehouse.whoami(token("locked"))
    assert (status, answer["errcode"]) == (401, "M_USER_LOCKED"), answer
    gatehouse.admin("users", "unlock", "locked")
    for name in ["locked", "suspended", "shadow", "robot", "addressed", "relogin"]:
        status, me = gatehouse.whoami(token(name))
        assert status == 200 and me["user_id"] == f"@{name}:{SERVER}", f"{name}: {me}"
        status, answer = login(name)
        assert status == 200, f"{name}: {answer}"
        # The tokens of a suspended account are inactive in introspection.
        expected = 401 if name == "suspended" else 200
        assert synapse.whoami(answer["access_token"])[0] == expected, name
    assert gatehouse.admin("users", "show", "suspended")["status"] == "suspended"
    for name in ["deactivated", "erased"]:
        shown = gatehouse.admin("users", "show", name)
        assert (shown["status"], shown["erased"]) == ("deactivated", name == "erased"), shown
        assert login(name)[0] == 403
        assert gatehouse.whoami(token(name))[0] == synapse.whoami(token(name))[0] == 401
    addresses = gatehouse.admin("users", "show", "addressed")["addresses"]
    assert {own["address"] for own in addresses} == {"addressed@example.org", "447400123456"}, addresses
    body = {"type": "m.login.password", "password": population.password("addressed")}
    body["identifier"] = {"type": "m.id.thirdparty", "medium": "email", "address": "ADDRESSED@example.org"}
    gatehouse.ok("POST", f"{API}/login", body)


def check_room(synapse, population):
    """Checks that a member of the room reads the message of each other member."""
    path, token = f"{API}/rooms/{quote(population.room)}/messages?dir=b&limit=1000", population.token("user0")
    events = synapse.ok("GET", path, token=token)["chunk"]
    read = {event["content"]["body"] for event in events if event["type"] == "m.room.message"}
    assert read == {*population.sample(), *population.sample(1)}, read


def check_logouts(gatehouse, synapse, population):
    """Checks that an imported token ends at Synapse within a second after its logout at Gatehouse."""
    for name in population.sample(1)[1:]:
        token, device = population.token(name), population.devices[name][0]["device_id"]
        assert synapse.whoami(token)[0] == 200, name
        gatehouse.ok("POST", f"{API}/logout", {}, token)
        logged_out = time.monotonic()
        while synapse.whoami(token)[0] == 200:
            assert time.monotonic() < logged_out + 1, f"the token of {name} is valid at Synapse after its logout"
        status, answer = synapse.whoami(token)
        assert (status, answer["errcode"]) == (401, "M_UNKNOWN_TOKEN"), answer
        again = gatehouse.login(name, population.password(name))[1]
        listed = synapse.ok("GET", f"{API}/devices", token=again["access_token"])["devices"]
        assert device not in {own["device_id"] for own in listed}, listed


def test(kind, users):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with DATABASES[kind](directory) as database:
            synapse = Synapse(directory, database)
            gatehouse = Gatehouse(directory, synapse)
            try:
                test_with(synapse, gatehouse, users)
            finally:
                gatehouse.kill()
                synapse.kill()


def test_with(synapse, gatehouse, users):
    population = Population(synapse, users)
    with synapse.running():
        population.make()
    asyncio.run(gatehouse.start())
    findings = import_into(gatehouse, population)
    assert findings == population.special, findings
    synapse.configure(delegated_to=gatehouse.url)
    with synapse.running():
        for name in population.sample() + population.sample(1):
            check_user(gatehouse, synapse, population, name)
        check_special_users(gatehouse, synapse, population)
        check_room(synapse, population)
        check_logouts(gatehouse, synapse, population)
        population.check_keys(population.token("user0"))
        logins = use_gatehouse(gatehouse, synapse, population)
    return_to_synapse(gatehouse, synapse)
    with synapse.running():
        check_return(synapse, population, logins)
    gatehouse.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("databases", nargs="*", metavar="|".join(DATABASES))
    arguments = parser.parse_args()
    kinds = arguments.databases or [*DATABASES]
    if unknown := {*kinds} - {*DATABASES}:
        parser.error(f"unknown databases: {unknown}")
    failed = 0
    for kind in kinds:
        started = time.monotonic()
        try:
            test(kind, arguments.users)
            seconds = time.monotonic() - started
            print(f"ok    HS-21, HS-22 {arguments.users} users of a Synapse with {kind} ({seconds:.0f} s)", flush=True)
        except AssertionError:
            failed += 1
            print(f"FAIL  import from a Synapse with {kind}\n{traceback.format_exc()}", flush=True)
    print(f"{len(kinds) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
