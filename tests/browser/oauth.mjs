// The pages of the OAuth 2.0 API: sign-up, login, consent and the way back to the app.

import assert from "node:assert/strict";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { MESSAGE_SETTINGS, eventually, extractLink, waitForMessage } from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { screenshot, withBrowserUser } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";
import { REFUSED } from "./hostile-input.mjs";
import {
  ALICE,
  App,
  KINDS,
  OAUTH,
  answerForApps,
  consentPage,
  continueLink,
  logIn,
  signUp,
} from "./oauth-app.mjs";

const TOKEN = "m.login.registration_token";
const settings = () => ({ ...OAUTH, GATEHOUSE_REGISTRATION_FLOWS: "m.login.dummy" });
const USER = "@alice:localhost";

/** Presses Tab until the element has the focus. */
async function tabTo(page, locator) {
  for (let count = 0; count < 20; count += 1) {
    await page.keyboard.press("Tab");
    if (await locator.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`no focus with the keyboard: ${locator}`);
}

/** Types a text into the field with this label, and asserts what a password manager needs. */
async function typeInto(page, label, text, autocomplete) {
  const field = page.getByLabel(label, { exact: true });
  await tabTo(page, field);
  assert.equal(await field.getAttribute("autocomplete"), autocomplete, label);
  await page.keyboard.type(text);
}

async function press(page, name, role = "button") {
  await tabTo(page, page.getByRole(role, { name, exact: true }));
  await page.keyboard.press("Enter");
}

test("OA-71 sign-up, login and consent work by keyboard and without JavaScript", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      await answerForApps(user);
      const app = await App.register(server);
      const { page } = await user.open(app.authorizationUrl());
      assert.equal(await page.locator("html").getAttribute("lang"), "en");
      await press(page, "Create an account", "link");
      await page.getByRole("heading", { name: "Create an account on localhost" }).waitFor();
      await typeInto(page, "Username", "bob", "username");
      await typeInto(page, "Password", PASSWORD, "new-password");
      await typeInto(page, "Password, again", PASSWORD, "new-password");
      await page.keyboard.press("Enter");
      await consentPage(page, "@bob:localhost");
      await press(page, "Allow");
      await press(page, "Continue to app.example.org", "link");
      await page.getByRole("heading", { name: "The app" }).waitFor();
      await app.assertSignedIn(page.url(), "@bob:localhost");

      await page.goto(app.authorizationUrl());
      await consentPage(page, "@bob:localhost");
      await press(page, "Use another account");
      await typeInto(page, "Username, e-mail address or phone number", "bob", "username");
      await typeInto(page, "Password", PASSWORD, "current-password");
      await press(page, "Log in");
      await consentPage(page, "@bob:localhost");
      await press(page, "Cancel");
      await press(page, "Continue to app.example.org", "link");
      await page.getByRole("heading", { name: "The app" }).waitFor();
      assert.equal(app.response(page.url()).get("error"), "access_denied");
    },
    { javaScriptEnabled: false },
  ));

for (const [kind, { redirect_uri: redirectUri, opensItself }] of Object.entries(KINDS)) {
  for (const mode of ["query", "fragment"]) {
    const way = opensItself ? "by itself" : "by a click only";
    test(`OA-52 the last page opens the redirect URI ${redirectUri} ${way}, with the ${mode}`, () =>
      withFixtures(settings, async ({ sites, server, user }) => {
        await server.register(ALICE);
        const requests = await answerForApps(user);
        const app = await App.register(server, kind);
        if (kind === "loopback") app.redirectUri = `http://localhost:${sites.port}/callback`;
        const { page } = await user.open(app.authorizationUrl({ response_mode: mode }));
        // Chromium has no app to open; the attempt is visible only here.
        const attempts = [];
        const devTools = await user.context.newCDPSession(page);
        await devTools.send("Page.enable");
        devTools.on("Page.frameRequestedNavigation", ({ url }) => attempts.push(url));
        const locations = [];
        page.on("response", (response) => locations.push(response.headers().location));
        await logIn(page);
        await consentPage(page, USER);
        attempts.length = 0;
        await page.getByRole("button", { name: "Allow" }).click();
        if (!opensItself) {
          await page.getByRole("heading", { name: "You are signed in" }).waitFor();
          await page.waitForTimeout(1000);
          const foreign = attempts.filter((url) => !url.startsWith(server.url));
          assert.deepEqual([requests, foreign], [[], []], "the page waits for a click");
          await screenshot(page, `oauth-last-${kind}`);
          await continueLink(page).click();
        }
        const isBack = (url) => url.startsWith(app.redirectUri);
        const url = await eventually(`navigation to ${app.redirectUri}`, () =>
          kind === "private" ? attempts.find(isBack) : isBack(page.url()) && page.url(),
        );
        await app.assertSignedIn(url, USER, mode);
        const referrers = [...requests.map(({ referer }) => referer), ...sites.referrers];
        assert.ok(!referrers.some((referrer) => referrer?.startsWith(server.url)), `OA-51: ${referrers}`);
        assert.deepEqual(locations.filter(Boolean), [], "no response redirects to the app");
        user.assertNoProblems();
      }));
  }
}

test("OA-33 an error opens the app by a click only, for every kind of redirect URI", () =>
  withFixtures(settings, async ({ server, user }) => {
    const requests = await answerForApps(user);
    for (const kind of Object.keys(KINDS)) {
      const app = await App.register(server, kind);
      const { page } = await user.open(app.authorizationUrl({ scope: "openid" }));
      await page.getByRole("heading", { name: "The sign-in failed" }).waitFor();
      await page.waitForTimeout(500);
      assert.equal(app.response(await continueLink(page).getAttribute("href")).get("error"), "invalid_scope");
      assert.deepEqual(requests, []);
      await page.close();
    }
    user.assertNoProblems(REFUSED);
  }));

test("OA-51 own forms send Origin and Referer, and links to other sites send no referrer", () =>
  withFixtures(settings, async ({ server, user }) => {
    const requests = await answerForApps(user);
    const app = await App.register(server);
    const page = await user.context.newPage();
    const sent = [];
    const devTools = await user.context.newCDPSession(page);
    await devTools.send("Network.enable");
    devTools.on("Network.requestWillBeSentExtraInfo", ({ headers }) => {
      if (headers["Content-Type"]?.startsWith("application/x-www-form-urlencoded")) sent.push(headers);
    });
    await page.goto(app.authorizationUrl({ prompt: "create" }));
    await signUp(page, "alice");
    await consentPage(page, USER);
    for (const name of ["Privacy policy of the app", "Terms of service of the app"]) {
      const opened = user.context.waitForEvent("page");
      await page.getByRole("link", { name }).click();
      const policy = await opened;
      await policy.getByRole("heading", { name: "The app" }).waitFor();
      assert.equal(await policy.evaluate(() => window.opener), null);
      await policy.close();
    }
    await page.getByRole("button", { name: "Use another account" }).click();
    await logIn(page);
    await consentPage(page, USER);
    await page.getByRole("button", { name: "Allow" }).click();
    await continueLink(page).click();
    await page.getByRole("heading", { name: "The app" }).waitFor();
    assert.equal(sent.length, 4);
    for (const headers of sent) {
      assert.equal(headers.Origin, server.url, JSON.stringify(headers));
      assert.ok(headers.Referer.startsWith(`${server.url}/oauth2/`), headers.Referer);
      assert.equal(headers["Sec-Fetch-Site"], "same-origin", JSON.stringify(headers));
    }
    assert.equal(requests.length, 3);
    assert.ok(requests.every(({ referer }) => referer === undefined));
    user.assertNoProblems();
  }));

test("OA-67 after a step back each page works again or says how to go on", () =>
  withFixtures(settings, async ({ server, user }) => {
    await server.register(ALICE);
    await answerForApps(user);
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl());
    await logIn(page);
    await consentPage(page, USER);
    await page.getByRole("button", { name: "Allow" }).click();
    const first = await continueLink(page).getAttribute("href");

    // The consent page is the response to the login form. Chromium sends this form again if the user reloads the page.
    await page.goBack().catch(() => {});
    await page.reload();
    await page.getByText("Start again in your app").waitFor();
    assert.equal(await continueLink(page).count(), 0);
    await screenshot(page, "oauth-back");

    // The page before it is the first one, which now shows the consent page at once.
    await page.goBack();
    await consentPage(page, USER);
    await page.getByRole("button", { name: "Allow" }).click();
    const second = await continueLink(page).getAttribute("href");
    await page.reload();
    assert.equal(await continueLink(page).getAttribute("href"), second, "a reload gives the same code");
    await app.assertSignedIn(second, USER);
    await page.reload();
    await page.getByText("Start again in your app").waitFor();
    assert.notEqual(new URL(first).searchParams.get("code"), new URL(second).searchParams.get("code"));
    user.assertNoProblems(REFUSED);
  }));

test("OA-67 after a step back in a sign-up, its forms continue the same sign-up", () =>
  withFixtures(
    () => ({ ...OAUTH, GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+m.login.dummy` }),
    async ({ server, user }) => {
      await answerForApps(user);
      const { token } = await server.admin("registration-tokens", "create", "--uses", "2");
      const app = await App.register(server);
      const { page } = await user.open(app.authorizationUrl({ prompt: "create" }));
      await signUp(page, "alice");
      await page.getByLabel("Registration token").fill("wrong");
      await page.getByRole("button", { name: "Continue" }).click();
      await page.getByRole("alert").waitFor();
      await page.goBack().catch(() => {});
      await page.goBack();
      await signUp(page, "alice");
      await page.getByLabel("Registration token").fill(token);
      await page.getByRole("button", { name: "Continue" }).click();
      await consentPage(page, USER);
      // A reload sends the form of the last stage again, with the cookie of the new browser session.
      await page.reload();
      await page.getByText("Start again in your app").waitFor();
      const [row] = await server.admin("registration-tokens", "list");
      assert.equal(row.left, 1);
      await page.goto(app.authorizationUrl());
      await consentPage(page, USER);
      user.assertNoProblems(REFUSED);
    },
  ));

test("OA-66 a double click on each button has the effect of one click", () =>
  withFixtures(settings, async ({ server, user }) => {
    await answerForApps(user);
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl({ prompt: "create" }));
    const doubleClick = (name) => page.getByRole("button", { name }).dblclick();
    await page.getByLabel("Username").fill("alice");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByLabel("Password, again").fill(PASSWORD);
    await doubleClick("Continue");
    await consentPage(page, USER);
    await doubleClick("Use another account");
    await page.getByLabel("Username, e-mail address or phone number").fill("alice");
    await page.getByLabel("Password").fill(PASSWORD);
    await doubleClick("Log in");
    await consentPage(page, USER);
    await doubleClick("Allow");
    await app.assertSignedIn(await continueLink(page).getAttribute("href"), USER);
    user.assertNoProblems();
  }));

test("OA-68 the consent page of one tab cannot be used after the account was changed in another tab", () =>
  withFixtures(settings, async ({ server, user }) => {
    await server.register(ALICE);
    await server.register({ ...ALICE, username: "bob" });
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl());
    await logIn(page);
    await consentPage(page, USER);
    const { page: other } = await user.open(app.authorizationUrl());
    await consentPage(other, USER);
    await other.getByRole("button", { name: "Use another account" }).click();
    await logIn(other, "bob");
    await consentPage(other, "@bob:localhost");
    await page.getByRole("button", { name: "Allow" }).click();
    await page.getByText("Start again in your app").waitFor();
    assert.equal(await continueLink(page).count(), 0);
    await screenshot(page, "oauth-other-account");
    await other.getByRole("button", { name: "Allow" }).click();
    await app.assertSignedIn(await continueLink(other).getAttribute("href"), "@bob:localhost");
    user.assertNoProblems(REFUSED);
  }));

test("OA-42 a sign-up with a browser session offers a new account first", () =>
  withFixtures(settings, async ({ server, user }) => {
    await server.register(ALICE);
    const app = await App.register(server);
    const { page } = await user.open(app.authorizationUrl());
    await logIn(page);
    await consentPage(page, USER);
    await page.goto(app.authorizationUrl({ prompt: "create" }));
    const headings = await page.getByRole("heading").allTextContents();
    assert.deepEqual(headings, ["Create a new account?", `Or allow access to ${USER}?`]);
    await screenshot(page, "oauth-choice");
    await page.getByRole("link", { name: "Create a new account" }).click();
    await signUp(page, "bob");
    await consentPage(page, "@bob:localhost");
    user.assertNoProblems();
  }));

test("OA-60 the page of a sign-up continues after the link was opened in another browser, which gets no session", () =>
  withFixtures(
    () => ({ ...OAUTH, ...MESSAGE_SETTINGS, GATEHOUSE_REGISTRATION_FLOWS: "m.login.email.identity" }),
    async ({ server, user }) => {
      const app = await App.register(server);
      const { page } = await user.open(app.authorizationUrl({ prompt: "create" }));
      await signUp(page, "alice");
      await page.getByLabel("E-mail address").fill("alice@example.org");
      await page.getByRole("button", { name: "Send the mail" }).click();
      await page.getByText("We have sent a mail to a…@example.org.").waitFor();
      const link = extractLink(await waitForMessage(server, "alice@example.org"));
      await withBrowserUser({}, async (other) => {
        const { page: mail } = await other.open(link);
        await mail.getByRole("button", { name: "Yes, it was me" }).click();
        await mail.getByRole("heading", { name: "Thank you" }).waitFor();
        await mail.goto(app.authorizationUrl());
        await mail.getByRole("heading", { name: "Log in to localhost" }).waitFor();
        other.assertNoProblems();
      });
      // The page reloads itself, and its button completes the sign-up.
      await page.getByRole("button", { name: "Continue", exact: true }).click();
      await consentPage(page, USER);
      user.assertNoProblems();
    },
  ));
