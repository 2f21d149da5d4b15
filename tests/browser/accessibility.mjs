// Every page on the screen of a phone: checked by axe-core, and not wider than the screen.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import {
  MESSAGE_SETTINGS,
  PHONE,
  extractCode,
  extractLink,
  waitForMessage,
  wrongCode,
} from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";
import { REFUSED, STAGES, allStages, fallback } from "./hostile-input.mjs";
import { App, OAUTH, answerForApps, continueLink, logIn, signUp } from "./oauth-app.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const PHONE_SCREEN = { viewport: { width: 320, height: 568 }, isMobile: true, deviceScaleFactor: 2 };
const SERVER_NAME = `matrix.${"quite-a-long-name.".repeat(4)}example.org`;
const NAME = "x".repeat(130);

/** Without a script a page can wait only by reloading itself. It has a button for the same purpose. */
export const WAITS = { rules: { "meta-refresh": { enabled: false } } };

/** Asserts that axe-core finds no violation on the page, and that the page is not wider than the screen. */
export async function check(page, name, options = {}) {
  await page.waitForLoadState();
  await screenshot(page, `phone-${name}`);
  await page.evaluate(AXE);
  const { violations, width } = await page.evaluate(async (options) => {
    const { violations } = await window.axe.run(document, { preload: false, ...options });
    const { scrollWidth, clientWidth } = document.documentElement;
    return {
      violations: violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`),
      width: [scrollWidth, clientWidth],
    };
  }, options);
  assert.deepEqual(violations, [], name);
  assert.ok(width[0] <= width[1], `${name} is ${width[0]} px wide on a screen of ${width[1]} px`);
}

/** Settings for every page. */
const settings = (sites) => ({ ...allStages(sites), ...OAUTH, GATEHOUSE_SERVER_NAME: SERVER_NAME });

/** Completes or fails the steps of the page of a stage, and checks every page that the user sees. */
const STEPS = {
  "m.login.registration_token": async (page) => {
    await page.getByLabel("Registration token").fill("wrong");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").waitFor();
    await check(page, "token-wrong");
  },
  "m.login.recaptcha": async (page) => {
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").waitFor();
    await check(page, "captcha-wrong");
  },
  "m.login.email.identity": async (page) => {
    await page.getByLabel("E-mail address").fill(`${randomUUID()}@example.org`);
    await page.getByRole("button", { name: "Send the mail" }).click();
    await page.getByText("We have sent a mail").waitFor();
    await check(page, "email-sent", WAITS);
    await page.getByRole("button", { name: "I have opened it" }).click();
    await page.getByRole("alert").waitFor();
    await check(page, "email-not-yet", WAITS);
  },
  "m.login.msisdn": async (page, server) => {
    await page.getByLabel("Country").selectOption(PHONE.country);
    await page.getByLabel("Phone number").fill("12");
    await page.getByRole("button", { name: "Send the code" }).click();
    await page.getByRole("alert").waitFor();
    await check(page, "phone-wrong");
    await page.getByLabel("Phone number").fill(PHONE.phone_number);
    await page.getByRole("button", { name: "Send the code" }).click();
    await page.getByLabel("Code").waitFor();
    await check(page, "code");
    const code = extractCode(await waitForMessage(server, `+${PHONE.msisdn}`));
    await page.getByLabel("Code").fill(wrongCode(code));
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").waitFor();
    await check(page, "code-wrong");
  },
};

const LABELS = {
  "m.login.dummy": "Without further data",
  "m.login.terms": "With the policies of this server",
  "m.login.registration_token": "With a registration token",
  "m.login.recaptcha": "With a captcha",
  "m.login.email.identity": "With an e-mail address",
  "m.login.msisdn": "With a phone number",
};

test("OA-71 axe finds no fault on the pages of a sign-up by OAuth, on a phone", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      await answerForApps(user);
      const app = await App.register(server);
      const { page } = await user.open(app.authorizationUrl({ prompt: "create" }));
      await check(page, "oauth-sign-up");
      await signUp(page, "not a name");
      await page.getByRole("alert").waitFor();
      await check(page, "oauth-sign-up-wrong");
      await signUp(page, NAME);
      await page.getByText("Choose how to continue:").waitFor();
      await check(page, "oauth-sign-up-choice");
      for (const stage of STAGES) {
        await page.getByRole("link", { name: LABELS[stage] }).click();
        await page.getByText("You are creating the account").waitFor();
        await check(page, `oauth-${stage}`);
        await STEPS[stage]?.(page, server);
        await page.getByRole("link", { name: "Choose another way" }).click();
      }
      await page.getByRole("link", { name: LABELS["m.login.dummy"] }).click();
      await page.getByRole("button", { name: "Continue" }).click();
      await page.getByRole("button", { name: "Allow" }).waitFor();
      await check(page, "oauth-consent");
      await page.goto(app.authorizationUrl({ prompt: "create" }));
      await check(page, "oauth-consent-choice");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));

test("OA-71 axe finds no fault on the pages of a login by OAuth, on a phone", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      await answerForApps(user);
      await server.register({ username: NAME, password: PASSWORD, auth: { type: "m.login.dummy" } });
      const app = await App.register(server);
      const device = "d".repeat(200);
      const scope = `urn:matrix:client:api:* urn:matrix:client:device:${device}`;
      const { page } = await user.open(app.authorizationUrl({ scope }));
      await check(page, "oauth-login");
      await logIn(page, "nobody");
      await page.getByRole("alert").waitFor();
      await check(page, "oauth-login-wrong");
      await logIn(page, NAME);
      await page.getByRole("button", { name: "Allow" }).click();
      await continueLink(page).waitFor();
      await check(page, "oauth-last");
      const code = app.response(await continueLink(page).getAttribute("href")).get("code");
      assert.equal((await app.exchange(code)).status, 200);
      await page.reload();
      await page.getByRole("heading", { name: "This page is out of date" }).waitFor();
      await check(page, "oauth-out-of-date");

      await page.goto(app.authorizationUrl({ scope }));
      await page.getByText("the app replaces it").waitFor();
      await check(page, "oauth-consent-replaces");
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("heading", { name: "You have not given access" }).waitFor();
      await check(page, "oauth-denied");
      await page.goto(app.authorizationUrl({ scope: "openid" }));
      await check(page, "oauth-refused");
      await page.goto(app.authorizationUrl({ client_id: "unknown" }));
      await check(page, "oauth-unknown-client");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));

test("OA-71 axe finds no fault on the pages of OAuth while registration is closed, on a phone", () =>
  withFixtures(
    () => ({ ...OAUTH, GATEHOUSE_REGISTRATION: "closed" }),
    async ({ server, user }) => {
      const app = await App.register(server);
      const { page } = await user.open(app.authorizationUrl({ prompt: "create" }));
      await page.getByRole("status").waitFor();
      await check(page, "oauth-closed");
      user.assertNoProblems();
    },
    PHONE_SCREEN,
  ));

test("UIA-70 axe finds no fault on the fallback pages, on a phone", () =>
  withFixtures(
    settings,
    async ({ server, user }) => {
      const page = await user.context.newPage();
      const { session } = (await server.register({ username: NAME, password: PASSWORD })).body;
      for (const stage of STAGES) {
        await page.goto(fallback(server, "v3", stage, session));
        await check(page, `fallback-${stage}`);
        await STEPS[stage]?.(page, server);
      }
      await page.goto(fallback(server, "v3", "m.login.dummy", session));
      await page.getByRole("button").click();
      await page.getByRole("heading", { name: "Thank you" }).waitFor();
      await check(page, "completed");
      await page.goto(fallback(server, "v3", "m.login.dummy", "unknown"));
      await check(page, "unknown");
      const { account_management_uri: account } = (
        await server.request("GET", "/.well-known/openid-configuration")
      ).body;
      await page.goto(account);
      await check(page, "account");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));

test("3PID-52 axe finds no fault on the pages behind the link of a mail, on a phone", () =>
  withFixtures(
    () => ({ ...MESSAGE_SETTINGS, GATEHOUSE_SERVER_NAME: SERVER_NAME }),
    async ({ server, user }) => {
      const page = await user.context.newPage();
      const open = async (email) => {
        const body = { email, client_secret: randomUUID(), send_attempt: 1 };
        await server.request("POST", "/_matrix/client/v3/register/email/requestToken", { body });
        await page.goto(extractLink(await waitForMessage(server, email)));
      };
      await open("alice@example.org");
      await check(page, "link");
      await page.getByRole("button", { name: "Yes, it was me" }).click();
      await page.getByRole("heading", { name: "Thank you" }).waitFor();
      await check(page, "link-confirmed");
      await open("bob@example.org");
      await page.getByRole("button", { name: "It was not me" }).click();
      await page.getByRole("heading", { name: "Report received" }).waitFor();
      await check(page, "link-refused");
      await page.goto(extractLink(await waitForMessage(server, "bob@example.org")));
      await page.getByRole("heading", { name: "This link or code does not work" }).waitFor();
      await check(page, "link-dead");
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));

test("HTTP-28 axe finds no fault on the page after too many requests, on a phone", () =>
  withFixtures(
    () => ({ GATEHOUSE_LIMITS: "on" }),
    async ({ server, user }) => {
      const { session } = (await server.register({})).body;
      const url = fallback(server, "v3", "m.login.dummy", session);
      let limited;
      for (let count = 0; count < 200 && limited?.status !== 429; count += 1) {
        limited = await fetch(url);
      }
      assert.equal(limited.status, 429);
      // The limit is over after a few seconds, so the browser gets this response with a later reload.
      const body = (await limited.text()).replace(/content="\d+"/, 'content="600"');
      const headers = Object.fromEntries(limited.headers);
      await user.context.route(url, (route) => route.fulfill({ status: 429, headers, body }));
      const { page } = await user.open(url);
      await page.getByText("There were too many requests.").waitFor();
      await check(page, "too-many-requests", WAITS);
      user.assertNoProblems(REFUSED);
    },
    PHONE_SCREEN,
  ));
