"""The return from Gatehouse to a Synapse with accounts of its own, as docs/importing.md describes it (HS-21)."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from import_servers import ADMIN_API, API, SERVER

NEW_PASSWORD = "ostrich lamp 8 quarrel"


def use_gatehouse(gatehouse, synapse, population):
    """Changes a password and makes an account at Gatehouse. Returns logins of Gatehouse by user."""
    name = "user1"
    old = gatehouse.login(name, population.password(name))[1]
    identifier = {"type": "m.id.user", "user": name}
    auth = {"type": "m.login.password", "identifier": identifier, "password": population.password(name)}
    body = {"new_password": NEW_PASSWORD, "auth": auth}
    gatehouse.ok("POST", f"{API}/account/password", body, population.token(name))
    assert synapse.whoami(population.token(name))[0] == 200
    assert synapse.whoami(old["access_token"])[0] == 401
    body = {"username": "newcomer", "password": NEW_PASSWORD, "auth": {"type": "m.login.dummy"}}
    logins = {
        "newcomer": gatehouse.ok("POST", f"{API}/register", body),
        name: gatehouse.login(name, NEW_PASSWORD)[1],
        "user0": gatehouse.login("user0", population.password("user0"))[1],
    }
    for login in logins.values():
        assert synapse.whoami(login["access_token"])[0] == 200, login
    return logins


def users_without_password(gatehouse, database):
    """The IDs of the users whose password Synapse does not have."""
    query = "SELECT name FROM users WHERE is_guest = 0 AND appservice_id IS NULL AND deactivated = 0"
    ids = [row[0] for row in database.execute(query)]
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda id: gatehouse.admin("users", "show", id), ids))
    is_changed = lambda user: user["imported"] is None or user["password"].get("set", 0) != user["imported"]
    return {id for id, user in zip(ids, shown) if is_changed(user)}


def return_to_synapse(gatehouse, synapse):
    """Carries out the documented procedure while Synapse is stopped."""
    changed = users_without_password(gatehouse, synapse.database)
    assert changed == {f"@user1:{SERVER}", f"@newcomer:{SERVER}"}, changed
    for id in changed:
        synapse.database.execute(f"UPDATE users SET password_hash = NULL WHERE name = '{id}'")
    synapse.database.execute("DELETE FROM access_tokens WHERE device_id IS NOT NULL")
    synapse.database.execute("DELETE FROM refresh_tokens")
    synapse.configure()


def check_return(synapse, population, logins):
    """Checks the passwords, the tokens and the devices at a Synapse that has its own accounts again."""
    tokens = [population.token(name) for name in population.sample()]
    for token in tokens + [login["access_token"] for login in logins.values()]:
        status, answer = synapse.whoami(token)
        assert (status, answer["errcode"]) == (401, "M_UNKNOWN_TOKEN"), answer
    login = lambda name, password=None, **more: synapse.login(name, password or population.password(name), **more)
    # An account that Gatehouse has unlocked, and accounts whose password was only checked there.
    for name in ["locked", "addressed", *population.sample(), *population.sample(1)[1:]]:
        assert login(name)[0] == 200, name
    root = login("root")[1]["access_token"]
    for name in ["user1", "newcomer"]:
        for password in (None, NEW_PASSWORD):
            assert login(name, password)[0] == 403, name
        reset = f"{ADMIN_API}/v1/reset_password/{quote(f'@{name}:{SERVER}')}"
        synapse.ok("POST", reset, {"new_password": "another password"}, root)
        assert login(name, "another password")[0] == 200, name
    addressed = login("addressed")[1]["access_token"]
    addresses = synapse.ok("GET", f"{API}/account/3pid", token=addressed)["threepids"]
    assert {own["address"] for own in addresses} == {"addressed@example.org", "447400123456"}, addresses
    check_devices(synapse, population, login, logins)


def check_devices(synapse, population, login, logins):
    """Checks that Synapse has the devices from before the import and those of Gatehouse, and that a login with the ID
    of a device keeps its keys."""
    device = population.devices["user0"][0]["device_id"]
    status, again = login("user0", device=device)
    assert (status, again["device_id"]) == (200, device), again
    listed = synapse.ok("GET", f"{API}/devices", token=again["access_token"])["devices"]
    expected = {own["device_id"] for own in [*population.devices["user0"], logins["user0"]]}
    assert expected <= {own["device_id"] for own in listed}, listed
    population.check_keys(again["access_token"])
