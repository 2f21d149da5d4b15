// Attacks on the pages of the OAuth 2.0 API by other sites.

import assert from "node:assert/strict";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { test } from "../clients/test-runner.mjs";
import { assertInert, withBrowserUser } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";
import { HOSTILE, REFUSED } from "./hostile-input.mjs";
import { ALICE, App, OAUTH, consentPage, continueLink, logIn } from "./oauth-app.mjs";

const settings = () => ({ ...OAUTH, GATEHOUSE_REGISTRATION_FLOWS: "m.login.dummy" });
const USER = "@alice:localhost";
const LOGIN_HEADING = { name: "Log in to localhost" };

/** The origins of an attacker. Browsers send the cookie of Gatehouse with each request from the second one. */
const attackers = (sites) => ({
  "another site": sites.url,
  "the same site": `http://127.0.0.1:${sites.port}`,
});

/** The hidden fields of the form that posts to a path with this end. */
const hiddenFields = (page, path) =>
  page
    .locator(`form[action$="${path}"] input[type=hidden]`)
    .evaluateAll((inputs) => inputs.map(({ name, value }) => [name, value]));

/** Submits a form from a page of the attacker and returns the page that the user then sees. */
async function postFrom(user, origin, url, fields) {
  const query = new URLSearchParams({ url, fields: JSON.stringify(fields) });
  const { page } = await user.open(`${origin}/post?${query}`);
  const opened = page.waitForEvent("popup");
  await page.getByRole("button").click();
  const popup = await opened;
  await popup.waitForLoadState();
  await page.close();
  return popup;
}

test("OA-50 no other origin can frame a page, with or without a browser session", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    await server.register(ALICE);
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl());
    const signUp = await page.getByRole("link", { name: "Create an account" }).evaluate((link) => link.href);
    const assertNotFramed = async (origin, url) => {
      const { page: framing } = await user.open(`${origin}/frame?url=${encodeURIComponent(url)}`);
      await framing.waitForLoadState("networkidle");
      const frames = framing.frames().filter((frame) => frame !== framing.mainFrame());
      assert.ok(frames.length >= 1);
      for (const frame of frames) assert.equal(frame.url(), "chrome-error://chromewebdata/", url);
      await framing.close();
    };
    const urls = [page.url(), signUp, page.url().replace("client_id=", "client_id=x")];
    for (const origin of Object.values(attackers(sites))) {
      for (const url of urls) await assertNotFramed(origin, url);
    }
    await logIn(page);
    await consentPage(page, USER);
    for (const origin of Object.values(attackers(sites))) {
      await assertNotFramed(origin, app.authorizationUrl());
    }
    user.assertNoProblems(REFUSED, /^console: .*(frame-ancestors|X-Frame-Options|ERR_BLOCKED_BY_RESPONSE)/);
  }));

test("OA-54 a form of another origin gives no consent, even with the fields of the own page", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    await server.register(ALICE);
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl());
    await logIn(page);
    await consentPage(page, USER);
    const fields = [...(await hiddenFields(page, "/consent")), ["action", "allow"]];
    assert.deepEqual(
      fields.map(([name]) => name),
      ["csrf", "context", "action"],
    );
    for (const [name, origin] of Object.entries(attackers(sites))) {
      for (const path of ["consent", "logout"]) {
        const url = `${server.url}/oauth2/authorize/${path}`;
        const popup = await postFrom(user, origin, url, fields);
        await popup.getByText("Start again in your app").waitFor();
        assert.equal(await continueLink(popup).count(), 0, name);
        await popup.close();
      }
    }
    // The own page still works, so no request has changed anything.
    await page.getByRole("button", { name: "Allow" }).click();
    await app.assertSignedIn(await continueLink(page).getAttribute("href"), USER);
    user.assertNoProblems(REFUSED);
  }));

test("OA-54 no other origin can log the user in to an account of the attacker", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    await server.register({ ...ALICE, username: "mallory" });
    const app = await App.register(server);
    const url = app.authorizationUrl();
    const fields = await withBrowserUser({}, async (attacker) => {
      const { page } = await attacker.open(url);
      return hiddenFields(page, "/login");
    });
    fields.push(["user", "mallory"], ["password", PASSWORD]);
    const { page } = await user.open(url);
    const own = [...(await hiddenFields(page, "/login")), ...fields.slice(-2)];
    for (const origin of Object.values(attackers(sites))) {
      for (const sent of [fields, own]) {
        const popup = await postFrom(user, origin, `${server.url}/oauth2/authorize/login`, sent);
        await popup.getByText("Start again in your app").waitFor();
        await popup.close();
        await page.goto(url);
        await page.getByRole("heading", LOGIN_HEADING).waitFor();
      }
    }
    user.assertNoProblems(REFUSED);
  }));

test("OA-48 the URL of a page of one browser does not work in another browser", () =>
  withFixtures(settings, async ({ server, user }) => {
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl({ prompt: "create" }));
    assert.match(page.url(), /\/oauth2\/sign-up\?context=/);
    await withBrowserUser({}, async (other) => {
      const { page: copy } = await other.open(app.authorizationUrl());
      await copy.goto(page.url());
      await copy.getByText("Start again in your app").waitFor();
      assert.equal(await copy.locator("form").count(), 0);
      other.assertNoProblems(REFUSED);
    });
    user.assertNoProblems();
  }));

test("OA-45 hostile parameters, names and hints are inert", () =>
  withFixtures(settings, async ({ server, user }) => {
    const app = await App.register(server);
    const page = await user.context.newPage();
    for (const text of HOSTILE) {
      const hostile = (...names) => Object.fromEntries(names.map((name) => [name, text]));
      for (const parameters of [
        hostile("login_hint", "prompt", text),
        hostile("scope", "state"),
        hostile("client_id"),
        hostile("redirect_uri"),
      ]) {
        const response = await page.goto(app.authorizationUrl(parameters));
        await assertInert(page, response, response.status());
        assert.ok([200, 400].includes(response.status()), `${response.status()}`);
      }
      await page.goto(app.authorizationUrl());
      await logIn(page, text.slice(0, 1000));
      await page.getByRole("alert").waitFor();
      assert.equal(await page.locator("script, svg, img, iframe, object, embed").count(), 0);
      assert.equal(await page.evaluate(() => window.wasHacked), undefined);
    }
    user.assertNoProblems(REFUSED);
  }));

test("OA-156 a web client on another site can read the JSON endpoints, but no page", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    const { page } = await user.open(`${sites.url}/policy/client`);
    const send = (path, options) =>
      page.evaluate(
        async ([url, options]) => {
          try {
            const response = await fetch(url, options);
            return { status: response.status, body: await response.json() };
          } catch (error) {
            return { error: error.name };
          }
        },
        [server.url + path, options],
      );
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const metadata = await send("/_matrix/client/v1/auth_metadata");
    assert.deepEqual([metadata.status, metadata.body.issuer], [200, `${server.url}/`]);
    const app = await send("/oauth2/registration", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        client_uri: "https://app.example.org",
        redirect_uris: ["https://app.example.org/"],
      }),
    });
    assert.equal(app.status, 201, JSON.stringify(app));
    const body = `grant_type=refresh_token&refresh_token=x&client_id=${app.body.client_id}`;
    const refused = await send("/oauth2/token", { method: "POST", headers: form, body });
    assert.deepEqual([refused.status, refused.body.error], [400, "invalid_grant"]);
    const revoked = await send("/oauth2/revoke", { method: "POST", headers: form, body: "token=x" });
    assert.deepEqual(revoked, { status: 200, body: {} });
    assert.deepEqual(await send("/oauth2/authorize"), { error: "TypeError" });
    user.assertNoProblems(REFUSED, /^console: .*(blocked by CORS policy|ERR_FAILED)/);
  }));
