"""E-mail addresses of accounts: the e-mails that Gatehouse sends, and the page behind the link in them."""

import html
import re
from urllib.parse import urljoin

from accounts import password_auth, send
from processes import eventually, request


async def confirm_address(servers, address):
    """Opens the link in the e-mail to this address, and presses the button of the page."""

    async def find_message():
        outbox = (await request("GET", f"{servers.gatehouse.url}/_local/outbox")).ok()
        return next((message for message in outbox if message["to"] == address), None)

    link = re.search(r"https?://\S+", (await eventually("e-mail", find_message))["text"])[0]
    assert link.startswith(servers.nginx.url), link
    page = (await request("GET", link)).body
    action = html.unescape(re.search(r'<form method="post" action="([^"]+)"', page)[1])
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    form = {name: html.unescape(value) for name, value in fields} | {"action": "confirm"}
    response = await request("POST", urljoin(link, action), form=form)
    assert response.status == 200, response


async def add_address(account, address):
    """Validates an e-mail address and adds it to the account."""
    validation = {"client_secret": "a.client.secret", "email": address, "send_attempt": 1}
    response = await send(account.servers, "POST", "/account/3pid/email/requestToken", validation)
    sid = response.ok()["sid"]
    await confirm_address(account.servers, address)
    addition = {"sid": sid, "client_secret": "a.client.secret", "auth": password_auth(account.name)}
    (await account.send("POST", "/account/3pid/add", addition)).ok()
