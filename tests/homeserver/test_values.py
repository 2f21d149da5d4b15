"""Unusual names, device IDs and display names work at both servers, or are refused before anything is created."""

from accounts import PASSWORD, Account, log_in, login_request, send, sign_up
from registry import test


@test("HS-10 HS-11 an unusual name is refused before anything is created, or works at Synapse")
async def names(servers):
    for name in ["a+b", "a/b", "a=b", "x.y-z", "under_score", "123", "_under", "a" * 200]:
        available = await send(servers, "GET", "/register/available", username=name)
        body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        response = await send(servers, "POST", "/register", body)
        if available.status == 200:
            await Account.of(servers, name, response.ok()).assert_usable()
        else:
            assert available.status == response.status == 400, (name, available, response)
            assert await servers.synapse.query_user(name) is None, name


@test("HS-11 a device ID that Synapse cannot have is refused, and every other one works at Synapse")
async def device_ids(servers):
    await sign_up(servers, "ids")
    for device in ["A B", "Gerät", "A/B", "a\"b", "x" * 255, "x" * 256, "x" * 512, "x" * 513, "\u0000", "tab\t"]:
        response = await send(servers, "POST", "/login", login_request("ids", device_id=device))
        if response.status == 200:
            login = Account.of(servers, "ids", response.body)
            assert login.device == device
            await login.assert_usable()
        else:
            assert response.status == 400, (device, response)
            assert device not in servers.synapse.devices("ids"), device


@test("HS-17 a display name that is too long for Synapse is refused or shortened at both servers alike")
async def display_names(servers):
    await sign_up(servers, "labels")
    for label in ["Ünïcödé 🎈", "n" * 100, "n" * 101, "n" * 255, ""]:
        response = await send(servers, "POST", "/login", login_request("labels", initial_device_display_name=label))
        if response.status == 400:
            continue
        login = Account.of(servers, "labels", response.ok())
        await login.assert_usable()
        response = await login.send("PUT", f"/devices/{login.device}", {"display_name": f"{label}2"})
        assert response.status in (200, 400), (label, response)
        of_gatehouse = (await login.send("GET", f"/devices/{login.device}")).ok().get("display_name")
        of_synapse = servers.synapse.devices("labels")[login.device]
        assert of_gatehouse == of_synapse, (label, of_gatehouse, of_synapse)
        assert response.status == 400 or of_synapse == f"{label}2", (label, of_synapse)
