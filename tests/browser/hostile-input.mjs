// Injection attempts: hostile links, form fields and pages of other sites.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES } from "../clients/gatehouse-server.mjs";
import { MESSAGE_SETTINGS } from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { UNAUTHORIZED, assertInert, assertStageCompleted, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";

export const STAGES = [
  "m.login.dummy",
  "m.login.terms",
  "m.login.registration_token",
  "m.login.recaptcha",
  "m.login.email.identity",
  "m.login.msisdn",
];

const SCRIPT = "window.wasHacked=alert(1)";
/** Texts that run a script if a page fails to escape them. */
export const HOSTILE = [
  `"><svg onload=${SCRIPT}>`,
  `'-${SCRIPT}-'`,
  `';${SCRIPT};//`,
  `</script><script>${SCRIPT}</script>`,
  `</style><script>${SCRIPT}</script>`,
  `</title><img src=x onerror=${SCRIPT}>`,
  `<iframe srcdoc="<script>${SCRIPT}</script>">`,
  `javascript:${SCRIPT}`,
  `" autofocus onfocus=${SCRIPT} x="`,
  `\`\${${SCRIPT}}\`{{${SCRIPT}}}`,
  `\u2028${SCRIPT}\u2029`,
  `\0\uFEFF<script>${SCRIPT}</script>`,
  `\r\nContent-Type: text/html\r\n\r\n<script>${SCRIPT}</script>`,
  `&lt;script&gt;${SCRIPT}&lt;/script&gt;`,
  "x".repeat(5000) + `"><script>${SCRIPT}</script>`,
];

/** Settings with one flow per stage. */
export const allStages = (sites) => ({
  ...MESSAGE_SETTINGS,
  GATEHOUSE_REGISTRATION_FLOWS: STAGES.join(" "),
  GATEHOUSE_TERMS: JSON.stringify(sites.policies),
  ...sites.captcha("recaptcha"),
});

export const fallback = (server, prefix, stage, session) =>
  `${server.url}/_matrix/client/${prefix}/auth/${encodeURIComponent(stage)}/fallback/web?session=${encodeURIComponent(session)}`;

/** Chromium logs every 4xx response on the console, including the expected ones. */
export const REFUSED = /^console: .*status of 4\d\d/;

for (const prefix of PREFIXES) {
  test(`UIA-74 a hostile session or stage type in the URL is inert, ${prefix}`, () =>
    withFixtures(allStages, async ({ server, user }) => {
      const page = await user.context.newPage();
      for (const text of HOSTILE) {
        for (const stage of STAGES) {
          const response = await page.goto(fallback(server, prefix, stage, text));
          await assertInert(page, response, 404);
          assert.equal(await page.locator("form").count(), 0);
        }
        const { session } = (await server.register({}, prefix)).body;
        await assertInert(page, await page.goto(fallback(server, prefix, text, session)), 404);
      }
      await screenshot(page, `unknown-${prefix}`);
      user.assertNoProblems(REFUSED);
    }));

  test(`UIA-74 an additional hostile query parameter and hostile form fields are inert, ${prefix}`, () =>
    withFixtures(allStages, async ({ server, user }) => {
      const stage = "m.login.registration_token";
      const { session } = (await server.register({}, prefix)).body;
      for (const text of HOSTILE) {
        const url = `${fallback(server, prefix, stage, session)}&${encodeURIComponent(text)}=${encodeURIComponent(text)}`;
        const { page, response } = await user.open(url);
        await assertInert(page, response, 200);
        const posted = page.waitForResponse((response) => response.request().method() === "POST");
        await page.getByLabel("Registration token").fill(text);
        await page.getByRole("button").click();
        await page.getByRole("alert").waitFor();
        await assertInert(page, await posted, 401);
        await page.close();
      }
      const retry = await server.register({ auth: { session } }, prefix);
      assert.deepEqual([retry.status, retry.body.completed], [401, []]);
      user.assertNoProblems(REFUSED);
    }));

  test(`UIA-74 a form of another site that posts a hostile session gets an error page, ${prefix}`, () =>
    withFixtures(allStages, async ({ sites, server, user }) => {
      for (const text of HOSTILE) {
        const url = fallback(server, prefix, "m.login.dummy", text);
        const { page } = await user.open(`${sites.url}/post?url=${encodeURIComponent(url)}`);
        const opened = page.waitForEvent("popup");
        await page.getByRole("button").click();
        const popup = await opened;
        await popup.getByRole("heading", { name: "Not found" }).waitFor();
        assert.equal(await popup.locator("script, svg, img, iframe").count(), 0);
        assert.equal(await popup.evaluate(() => window.wasHacked), undefined);
        await Promise.all([popup.close(), page.close()]);
      }
      user.assertNoProblems(REFUSED);
    }));
}

test("REG-05 a hostile username never reaches a page, and every allowed character is shown unchanged", () =>
  withFixtures(allStages, async ({ server, user }) => {
    for (const username of HOSTILE) {
      const { status, body } = await server.register({ username, password: PASSWORD });
      assert.deepEqual([status, body.errcode], [400, "M_INVALID_USERNAME"]);
    }
    const username = "a/../b=c+d.-_e";
    const { session } = (await server.register({ username, password: PASSWORD })).body;
    for (const stage of STAGES) {
      const { page } = await user.open(fallback(server, "v3", stage, session));
      await page.getByText(`the account “${username}” on localhost`).waitFor();
      await page.close();
    }
    user.assertNoProblems();
  }));

test("UIA-74 texts and URLs of the operator's settings are escaped", () =>
  withFixtures(
    (sites) => {
      const name = `<img src=x onerror=${SCRIPT}>`;
      const url = `${sites.url}/policy/x?a=1&onclick=${SCRIPT}`;
      // A key has no spaces.
      sites.siteKey = `"><svg/onload=${SCRIPT}>`;
      return {
        ...allStages(sites),
        ...sites.captcha("turnstile"),
        GATEHOUSE_TERMS: JSON.stringify({
          privacy: { version: "1", [`en"onclick="${SCRIPT}`]: { name, url } },
        }),
      };
    },
    async ({ sites, server, user }) => {
      const { session } = (await server.register({})).body;
      const terms = await user.open(fallback(server, "v3", "m.login.terms", session));
      await assertInert(terms.page, terms.response, 200);
      await terms.page.getByText(`<img src=x onerror=${SCRIPT}>`).waitFor();
      await terms.page.getByRole("link").click();
      const { page } = await user.open(fallback(server, "v3", "m.login.recaptcha", session));
      const key = await page.locator(".cf-turnstile").getAttribute("data-sitekey");
      assert.equal(key, sites.siteKey);
      assert.equal(await page.locator("svg").count(), 0);
      user.assertNoProblems();
    },
  ));

test("UIA-76 another site cannot frame a fallback page, in any stage or state", () =>
  withFixtures(allStages, async ({ sites, server, user }) => {
    const { session } = (await server.register({})).body;
    const assertNotFramed = async (url) => {
      const { page } = await user.open(`${sites.url}/frame?url=${encodeURIComponent(url)}`);
      await page.waitForLoadState("networkidle");
      const frames = page.frames().filter((frame) => frame !== page.mainFrame());
      assert.ok(frames.length >= 1);
      for (const frame of frames) {
        assert.equal(frame.url(), "chrome-error://chromewebdata/");
        assert.doesNotMatch(await frame.content(), /You are creating|Thank you|Not found|Gatehouse/);
      }
      await page.close();
    };
    for (const stage of STAGES) await assertNotFramed(fallback(server, "v3", stage, session));
    await assertNotFramed(fallback(server, "v3", "m.login.dummy", "unknown"));
    const { page } = await user.open(fallback(server, "v3", "m.login.dummy", session));
    await page.getByRole("button").click();
    await assertStageCompleted(page);
    await assertNotFramed(fallback(server, "v3", "m.login.dummy", session));
    const frameErrors = /^console: .*(frame-ancestors|X-Frame-Options|ERR_BLOCKED_BY_RESPONSE)/;
    user.assertNoProblems(frameErrors, REFUSED);
  }));

test("UIA-76 authDone reaches the page of another site that opened the window by posting a form", () =>
  withFixtures(allStages, async ({ sites, server, user }) => {
    const { session } = (await server.register({})).body;
    const url = fallback(server, "v3", "m.login.dummy", session);
    const { page } = await user.open(`${sites.url}/post?url=${encodeURIComponent(url)}`);
    await page.evaluate(() => {
      window.received = new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data)));
    });
    const opened = page.waitForEvent("popup");
    await page.getByRole("button").click();
    await assertStageCompleted(await opened);
    assert.equal(await page.evaluate(() => window.received), "authDone");
    user.assertNoProblems();
  }));

test("UIA-70 every page fits a small screen, with a long server name and a long username", () =>
  withFixtures(
    (sites) => ({
      ...allStages(sites),
      GATEHOUSE_SERVER_NAME: `matrix.${"quite-a-long-name.".repeat(4)}example.org`,
    }),
    async ({ server, user }) => {
      const username = "x".repeat(140);
      const { session } = (await server.register({ username, password: PASSWORD })).body;
      const assertFits = async (page, name) => {
        await screenshot(page, `small-${name}`);
        const { scrollWidth, clientWidth } = await page.evaluate(() => ({
          scrollWidth: document.documentElement.scrollWidth,
          clientWidth: document.documentElement.clientWidth,
        }));
        assert.ok(
          scrollWidth <= clientWidth,
          `${name} is ${scrollWidth} px wide on a screen of ${clientWidth} px`,
        );
      };
      for (const stage of STAGES) {
        const { page } = await user.open(fallback(server, "v3", stage, session));
        await assertFits(page, stage);
        await page.close();
      }
      user.assertNoProblems();
    },
    { viewport: { width: 320, height: 568 }, isMobile: true, deviceScaleFactor: 2 },
  ));
