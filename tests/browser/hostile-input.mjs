// What somebody who means harm puts into a link, a form or a page around ours.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, trial } from "../clients/gatehouse-server.mjs";
import { POST } from "../clients/messages.mjs";
import { UNAUTHORIZED, assertInert, assertThanked, picture } from "./browser-user.mjs";
import { scene } from "./stages.mjs";

const STAGES = [
  "m.login.dummy",
  "m.login.terms",
  "m.login.registration_token",
  "m.login.recaptcha",
  "m.login.email.identity",
  "m.login.msisdn",
];

const HACK = "window.wasHacked=alert(1)";
/** What somebody types who hopes that it runs. */
export const HOSTILE = [
  `"><svg onload=${HACK}>`,
  `'-${HACK}-'`,
  `';${HACK};//`,
  `</script><script>${HACK}</script>`,
  `</style><script>${HACK}</script>`,
  `</title><img src=x onerror=${HACK}>`,
  `<iframe srcdoc="<script>${HACK}</script>">`,
  `javascript:${HACK}`,
  `" autofocus onfocus=${HACK} x="`,
  `\`\${${HACK}}\`{{${HACK}}}`,
  `\u2028${HACK}\u2029`,
  `\0\uFEFF<script>${HACK}</script>`,
  `\r\nContent-Type: text/html\r\n\r\n<script>${HACK}</script>`,
  `&lt;script&gt;${HACK}&lt;/script&gt;`,
  "x".repeat(5000) + `"><script>${HACK}</script>`,
];

/** All stages, each a flow of its own. */
const everything = (town) => ({
  ...POST,
  GATEHOUSE_REGISTRATION_FLOWS: STAGES.join(" "),
  GATEHOUSE_TERMS: JSON.stringify(town.policies),
  ...town.captcha("recaptcha"),
});

const fallback = (house, prefix, stage, session) =>
  `${house.url}/_matrix/client/${prefix}/auth/${encodeURIComponent(stage)}/fallback/web?session=${encodeURIComponent(session)}`;

/** What Chromium logs of the answers that were meant to be refusals. */
export const REFUSED = /^console: .*status of 4\d\d/;

for (const prefix of PREFIXES) {
  trial(`UIA-74 a hostile session or type in a link is inert, ${prefix}`, () =>
    scene(everything, async ({ house, person }) => {
      const page = await person.context.newPage();
      for (const text of HOSTILE) {
        for (const stage of STAGES) {
          const answer = await page.goto(fallback(house, prefix, stage, text));
          await assertInert(page, answer, 404);
          assert.equal(await page.locator("form").count(), 0);
        }
        const { session } = (await house.register({}, prefix)).body;
        await assertInert(page, await page.goto(fallback(house, prefix, text, session)), 404);
      }
      await picture(page, `unknown-${prefix}`);
      person.assertQuiet(REFUSED);
    }),
  );

  trial(
    `UIA-74 a hostile member beside a good session, and what the form carries, are inert, ${prefix}`,
    () =>
      scene(everything, async ({ house, person }) => {
        const stage = "m.login.registration_token";
        const { session } = (await house.register({}, prefix)).body;
        for (const text of HOSTILE) {
          const url = `${fallback(house, prefix, stage, session)}&${encodeURIComponent(text)}=${encodeURIComponent(text)}`;
          const { page, answer } = await person.open(url);
          await assertInert(page, answer, 200);
          const posted = page.waitForResponse((response) => response.request().method() === "POST");
          await page.getByLabel("Registration token").fill(text);
          await page.getByRole("button").click();
          await page.getByRole("alert").waitFor();
          await assertInert(page, await posted, 401);
          await page.close();
        }
        const retry = await house.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);
        person.assertQuiet(REFUSED);
      }),
  );

  trial(`UIA-74 a page elsewhere that posts a hostile session opens nothing but a failure, ${prefix}`, () =>
    scene(everything, async ({ town, house, person }) => {
      for (const text of HOSTILE) {
        const url = fallback(house, prefix, "m.login.dummy", text);
        const { page } = await person.open(`${town.url}/post?url=${encodeURIComponent(url)}`);
        const opened = page.waitForEvent("popup");
        await page.getByRole("button").click();
        const popup = await opened;
        await popup.getByRole("heading", { name: "Not found" }).waitFor();
        assert.equal(await popup.locator("script, svg, img, iframe").count(), 0);
        assert.equal(await popup.evaluate(() => window.wasHacked), undefined);
        await Promise.all([popup.close(), page.close()]);
      }
      person.assertQuiet(REFUSED);
    }),
  );
}

trial("REG-05 a hostile name never reaches a page, and every lawful character stands there as it is", () =>
  scene(everything, async ({ house, person }) => {
    for (const username of HOSTILE) {
      const { status, body } = await house.register({ username, password: PASSWORD });
      assert.deepEqual([status, body.errcode], [400, "M_INVALID_USERNAME"]);
    }
    const username = "a/../b=c+d.-_e";
    const { session } = (await house.register({ username, password: PASSWORD })).body;
    for (const stage of STAGES) {
      const { page } = await person.open(fallback(house, "v3", stage, session));
      await page.getByText(`the account “${username}” on localhost`).waitFor();
      await page.close();
    }
    person.assertQuiet();
  }),
);

trial("UIA-74 what the operator says is text, and no part of the page's code", () =>
  scene(
    (town) => {
      const name = `<img src=x onerror=${HACK}>`;
      const url = `${town.url}/policy/x?a=1&onclick=${HACK}`;
      town.siteKey = `"><svg onload=${HACK}>`;
      return {
        ...everything(town),
        ...town.captcha("turnstile"),
        GATEHOUSE_TERMS: JSON.stringify({
          privacy: { version: "1", [`en"onclick="${HACK}`]: { name, url } },
        }),
      };
    },
    async ({ town, house, person }) => {
      const { session } = (await house.register({})).body;
      const terms = await person.open(fallback(house, "v3", "m.login.terms", session));
      await assertInert(terms.page, terms.answer, 200);
      await terms.page.getByText(`<img src=x onerror=${HACK}>`).waitFor();
      await terms.page.getByRole("link").click();
      const { page } = await person.open(fallback(house, "v3", "m.login.recaptcha", session));
      const key = await page.locator(".cf-turnstile").getAttribute("data-sitekey");
      assert.equal(key, town.siteKey);
      assert.equal(await page.locator("svg").count(), 0);
      person.assertQuiet();
    },
  ),
);

trial("UIA-76 no page can be framed by another site, whatever the stage and its state", () =>
  scene(everything, async ({ town, house, person }) => {
    const { session } = (await house.register({})).body;
    const framed = async (url) => {
      const { page } = await person.open(`${town.url}/frame?url=${encodeURIComponent(url)}`);
      await page.waitForLoadState("networkidle");
      const frames = page.frames().filter((frame) => frame !== page.mainFrame());
      assert.ok(frames.length >= 1);
      for (const frame of frames) {
        assert.equal(frame.url(), "chrome-error://chromewebdata/");
        assert.doesNotMatch(await frame.content(), /You are creating|Thank you|Not found|Gatehouse/);
      }
      await page.close();
    };
    for (const stage of STAGES) await framed(fallback(house, "v3", stage, session));
    await framed(fallback(house, "v3", "m.login.dummy", "unknown"));
    const { page } = await person.open(fallback(house, "v3", "m.login.dummy", session));
    await page.getByRole("button").click();
    await assertThanked(page);
    await framed(fallback(house, "v3", "m.login.dummy", session));
    const denied = /^console: .*(frame-ancestors|X-Frame-Options|ERR_BLOCKED_BY_RESPONSE)/;
    person.assertQuiet(denied, REFUSED);
  }),
);

trial("UIA-76 the hand-off works in a window that a page elsewhere opened by posting to it", () =>
  scene(everything, async ({ town, house, person }) => {
    const { session } = (await house.register({})).body;
    const url = fallback(house, "v3", "m.login.dummy", session);
    const { page } = await person.open(`${town.url}/post?url=${encodeURIComponent(url)}`);
    await page.evaluate(() => {
      window.told = new Promise((resolve) => addEventListener("message", ({ data }) => resolve(data)));
    });
    const opened = page.waitForEvent("popup");
    await page.getByRole("button").click();
    await assertThanked(await opened);
    assert.equal(await page.evaluate(() => window.told), "authDone");
    person.assertQuiet();
  }),
);

trial("UIA-70 every page fits a small screen, long names and all", () =>
  scene(
    (town) => ({
      ...everything(town),
      GATEHOUSE_SERVER_NAME: `matrix.${"quite-a-long-name.".repeat(4)}example.org`,
    }),
    async ({ house, person }) => {
      const username = "x".repeat(140);
      const { session } = (await house.register({ username, password: PASSWORD })).body;
      const fits = async (page, name) => {
        await picture(page, `small-${name}`);
        const { scrollWidth, clientWidth } = await page.evaluate(() => ({
          scrollWidth: document.documentElement.scrollWidth,
          clientWidth: document.documentElement.clientWidth,
        }));
        assert.ok(scrollWidth <= clientWidth, `${name} is ${scrollWidth} wide on ${clientWidth}`);
      };
      for (const stage of STAGES) {
        const { page } = await person.open(fallback(house, "v3", stage, session));
        await fits(page, stage);
        await page.close();
      }
      person.assertQuiet();
    },
    { viewport: { width: 320, height: 568 }, isMobile: true, deviceScaleFactor: 2 },
  ),
);
