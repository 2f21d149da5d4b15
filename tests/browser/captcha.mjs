// m.login.recaptcha through its fallback page, for each provider.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered, test } from "../clients/gatehouse-server.mjs";
import { UNAUTHORIZED, assertStageCompleted, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./stages.mjs";
import { PROVIDERS, widget } from "./external-sites.mjs";

const CAPTCHA = "m.login.recaptcha";
const BOB = { username: "bob", password: PASSWORD };
const settings = (provider) => (sites) => ({
  GATEHOUSE_REGISTRATION_FLOWS: CAPTCHA,
  ...sites.captcha(provider),
});

/** The response that the provider's widget gives whoever ticks its box. */
const HUMAN = "human site-key";

for (const prefix of PREFIXES) {
  for (const provider of Object.keys(PROVIDERS)) {
    test(`UIA-47 m.login.recaptcha with ${provider}: none, a wrong and a right response, ${prefix}`, () =>
      withFixtures(settings(provider), async ({ sites, server, user }) => {
        const client = await user.openWebClient(server, sites, prefix, BOB);
        assert.deepEqual((await client.response(0)).body.params, { [CAPTCHA]: { public_key: "site-key" } });
        const popup = await client.openFallback();
        const [alert, submit] = [popup.getByRole("alert"), popup.getByRole("button")];
        await popup.getByLabel("I am not a machine").waitFor();
        await screenshot(popup, `captcha-${provider}-${prefix}`);

        await submit.click();
        await alert.filter({ hasText: "missing" }).waitFor();
        assert.equal(sites.verifyRequests.length, 0, "nothing was sent, so nothing is asked");

        sites.verifyResult = () => false;
        await popup.getByLabel("I am not a machine").check();
        await submit.click();
        await alert.filter({ hasText: "not valid" }).waitFor();

        sites.verifyResult = () => null;
        await popup.getByLabel("I am not a machine").check();
        await submit.click();
        await alert.filter({ hasText: "try again" }).waitFor();
        await screenshot(popup, `captcha-${provider}-unreachable-${prefix}`);
        assert.deepEqual(await client.messages(), []);
        const { session } = (await client.response(0)).body;
        const retry = await server.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);

        sites.verifyResult = (form) => form.get("response") === HUMAN;
        await popup.getByLabel("I am not a machine").check();
        await submit.click();
        await assertStageCompleted(popup);
        await assertRegistered(server, await client.response(1), "@bob:localhost", prefix);
        assert.deepEqual(await client.messages(), [{ data: "authDone", origin: server.url }]);
        const sent = sites.verifyRequests.map((form) => Object.fromEntries(form));
        assert.deepEqual(sent, Array(3).fill({ secret: "the-secret-key", response: HUMAN }));
        // The provider may know on which site its widget is, and no more.
        assert.ok(sites.referrers.every((referrer) => !referrer.includes(session)));
        assert.ok(!sites.referrers.some((referrer) => referrer.includes("_matrix")));
        user.assertNoProblems(UNAUTHORIZED);
      }),
    );
  }
}

/** Where the real widgets come from and what they load, by the providers' documentation. */
const PROVIDER_URLS = {
  recaptcha: {
    script: "https://www.google.com/recaptcha/api.js",
    parts: ["https://www.gstatic.com/recaptcha/releases/x/recaptcha__en_gb.js"],
    frame: "https://www.google.com/recaptcha/api2/anchor?k=site-key",
  },
  hcaptcha: {
    script: "https://js.hcaptcha.com/1/api.js",
    parts: ["https://newassets.hcaptcha.com/captcha/v1/x/hcaptcha.js"],
    frame: "https://newassets.hcaptcha.com/captcha/v1/x/static/hcaptcha.html",
    asks: "https://api.hcaptcha.com/checksiteconfig",
  },
  turnstile: {
    script: "https://challenges.cloudflare.com/turnstile/v0/api.js",
    parts: ["https://challenges.cloudflare.com/turnstile/v0/g/x/api.js"],
    frame: "https://challenges.cloudflare.com/cdn-cgi/challenge-platform/h/b/turnstile/x",
  },
};

/** The provider's script: loads its parts, asks its server and frames its page as the real one does. */
function providerScript(provider) {
  const { parts, frame, asks } = PROVIDER_URLS[provider];
  return `addEventListener("DOMContentLoaded", start);
    if (document.readyState !== "loading") start();
    function start() {
      if (window.started) return;
      window.started = true;
      const container = document.querySelector(".${PROVIDERS[provider].container}");
      for (const src of ${JSON.stringify(parts)})
        document.head.append(Object.assign(document.createElement("script"), { src }));
      const frame = Object.assign(document.createElement("iframe"), { src: ${JSON.stringify(frame)} });
      frame.style.cssText = "width: 302px; height: 76px; border: 0";
      container.append(frame);
      ${asks ? `fetch(${JSON.stringify(asks)});` : ""}
      ${widget(PROVIDERS[provider])}
    }`;
}

for (const provider of Object.keys(PROVIDERS)) {
  test(
    `UIA-76 the page's policy lets in what ${provider} loads from its own addresses and nothing else`,
    () =>
      withFixtures(
        (sites) => {
          const { GATEHOUSE_CAPTCHA_SCRIPT_URL: _, ...others } = settings(provider)(sites);
          return others;
        },
        async ({ sites, server, user }) => {
          const { script, parts, frame, asks } = PROVIDER_URLS[provider];
          const asked = [];
          // Nothing leaves this machine: the browser is told what the provider would answer.
          await user.context.route(/^https:/, async (route) => {
            const request = route.request();
            const url = request.url();
            asked.push(url);
            const { referer } = await request.allHeaders();
            assert.ok(!referer?.includes("session"), referer);
            const headers = { "access-control-allow-origin": "*" };
            if (url === script) {
              return route.fulfill({ contentType: "text/javascript", headers, body: providerScript(provider) });
            }
            if (url === frame) return route.fulfill({ contentType: "text/html", body: "<p>a widget" });
            if (parts.includes(url)) return route.fulfill({ contentType: "text/javascript", body: "" });
            return route.fulfill({ contentType: "application/json", headers, body: "{}" });
          });
          const client = await user.openWebClient(server, sites, "v3", BOB);
          const popup = await client.openFallback();
          await popup.frameLocator("iframe").getByText("a widget").waitFor();
          await popup.waitForLoadState("networkidle");
          assert.deepEqual([...asked].sort(), [script, ...parts, frame, ...(asks ? [asks] : [])].sort());
          const blocked = await popup.evaluate(async () => {
            const violation = new Promise((resolve) => addEventListener("securitypolicyviolation", resolve));
            const src = "https://elsewhere.example/x.js";
            document.head.append(Object.assign(document.createElement("script"), { src }));
            return (await violation).blockedURI;
          });
          assert.equal(blocked, "https://elsewhere.example/x.js");
          await popup.getByLabel("I am not a machine").check();
          await popup.getByRole("button").click();
          await assertStageCompleted(popup);
          await assertRegistered(server, await client.response(1), "@bob:localhost");
          assert.ok(!asked.some((url) => url.includes("elsewhere")));
          user.assertNoProblems(
            UNAUTHORIZED,
            /^violation: script-src-elem https:.*elsewhere/,
            /^console: .*elsewhere/,
          );
        },
      ),
  );
}
