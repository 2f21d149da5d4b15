"""The life cycle of an account that a client creates and uses by the OAuth 2.0 API, with Synapse behind it."""

import base64
import hashlib
import html
import re
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import aiohttp
import nio
from accounts import PASSWORD, Account
from processes import request
from registry import test

REDIRECT_URI = "org.example.app:/callback"
METADATA = {"application_type": "native", "client_uri": "https://app.example.org", "redirect_uris": [REDIRECT_URI]}
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Browser:
    """A browser that keeps cookies and submits forms."""

    def __init__(self, session):
        self.session = session
        self.url = self.page = None

    async def open(self, method, url, form=None):
        """Requests a page, which must exist."""
        async with self.session.request(method, url, data=form) as response:
            self.page, self.url = await response.text(), str(response.url)
            assert response.status == 200, (response.status, self.page)

    async def submit(self, **values):
        """Submits the first form of the page."""
        action, content = re.search(r'<form method="post" action="([^"]+)">(.*?)</form>', self.page, re.DOTALL).groups()
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', content)
        form = {name: html.unescape(value) for name, value in hidden} | values
        await self.open("POST", urljoin(self.url, html.unescape(action)), form)

    async def follow(self, text):
        """Opens the link with this text."""
        target = re.search(rf'<a href="([^"]+)">{re.escape(text)}</a>', self.page)[1]
        await self.open("GET", urljoin(self.url, html.unescape(target)))

    def code(self):
        """The authorization code in the link to the client."""
        link = html.unescape(re.search(r'<a id="continue" href="([^"]+)"', self.page)[1])
        return parse_qs(urlsplit(link).query)["code"][0]


async def authorize(metadata, client_id, device, *steps, **parameters):
    """Submits these forms, follows the links with these texts, and gives consent. Returns the code."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": f"urn:matrix:client:api:* urn:matrix:client:device:{device}",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **parameters,
    }
    # Without `unsafe`, the jar ignores cookies of IP addresses.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        browser = Browser(session)
        await browser.open("GET", f"{metadata['authorization_endpoint']}?{urlencode(query)}")
        for step in steps:
            await (browser.follow(step) if isinstance(step, str) else browser.submit(**step))
        await browser.submit(action="allow")
        return browser.code()


async def exchange(metadata, client_id, **form):
    """Requests tokens."""
    form = {"client_id": client_id, **form}
    return (await request("POST", metadata["token_endpoint"], form=form)).ok()


async def exchange_code(metadata, client_id, code):
    """Exchanges an authorization code for tokens."""
    form = {"code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return await exchange(metadata, client_id, grant_type="authorization_code", **form)


async def send_message(servers, account):
    """Creates a room and sends a message with matrix-nio."""
    client = nio.AsyncClient(servers.nginx.url)
    try:
        client.restore_login(account.user_id, account.device, account.token)
        created = await client.room_create()
        assert isinstance(created, nio.RoomCreateResponse), created
        content = {"msgtype": "m.text", "body": "hello"}
        sent = await client.room_send(created.room_id, "m.room.message", content)
        assert isinstance(sent, nio.RoomSendResponse), sent
    finally:
        await client.close()


@test("OA-59 OA-80 OA-105 OA-136 OAuth 2.0: sign-up by page, a message, refresh, second login, revocation")
async def life(servers):
    # Synapse returns the document that it gets from Gatehouse.
    path = "/_matrix/client/v1/auth_metadata"
    metadata = (await request("GET", f"{servers.nginx.url}{path}")).ok()
    assert metadata["prompt_values_supported"] == ["create"], metadata
    response = await request("POST", metadata["registration_endpoint"], METADATA)
    assert response.status == 201, response
    client_id = response.body["client_id"]

    details = {"username": "oauth-alice", "password": PASSWORD, "password_again": PASSWORD}
    steps = [details, "Without further data", {}]
    code = await authorize(metadata, client_id, "TABLET-1", *steps, prompt="create")
    assert servers.synapse.devices("oauth-alice") == {}, "OA-79: no device before the exchange"
    tokens = await exchange_code(metadata, client_id, code)
    first = Account(servers, "oauth-alice", tokens["access_token"], "TABLET-1", tokens["refresh_token"])
    await first.assert_usable()
    await send_message(servers, first)

    refresh = {"grant_type": "refresh_token", "refresh_token": first.refresh_token}
    tokens = await exchange(metadata, client_id, **refresh)
    first.token, first.refresh_token = tokens["access_token"], tokens["refresh_token"]
    await first.assert_usable()
    await send_message(servers, first)

    login = {"user": "oauth-alice", "password": PASSWORD}
    code = await authorize(metadata, client_id, "TABLET-2", login)
    tokens = await exchange_code(metadata, client_id, code)
    second = Account(servers, "oauth-alice", tokens["access_token"], "TABLET-2", tokens["refresh_token"])
    await second.assert_usable()

    form = {"token": second.refresh_token, "client_id": client_id}
    (await request("POST", metadata["revocation_endpoint"], form=form)).ok()
    await second.assert_ended()
    await first.assert_usable()
