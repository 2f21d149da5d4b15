// The fallback page of m.login.recaptcha with each captcha provider.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered } from "../clients/gatehouse-server.mjs";
import { test } from "../clients/test-runner.mjs";
import { UNAUTHORIZED, assertStageCompleted, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";
import { PROVIDERS, widget } from "./external-sites.mjs";

const CAPTCHA = "m.login.recaptcha";
const BOB = { username: "bob", password: PASSWORD };
const settings = (provider) => (sites) => ({
  GATEHOUSE_REGISTRATION_FLOWS: CAPTCHA,
  ...sites.captcha(provider),
});

/** The response of the provider's widget after its checkbox has been ticked. */
const HUMAN = "human site-key";

for (const prefix of PREFIXES) {
  for (const provider of Object.keys(PROVIDERS)) {
    test(`UIA-47 m.login.recaptcha with ${provider}: a missing, a wrong and a valid response, ${prefix}`, () =>
      withFixtures(settings(provider), async ({ sites, server, user }) => {
        const client = await user.openWebClient(server, sites, prefix, BOB);
        assert.deepEqual((await client.response(0)).body.params, { [CAPTCHA]: { public_key: "site-key" } });
        const popup = await client.openFallback();
        const [alert, submit] = [popup.getByRole("alert"), popup.getByRole("button")];
        await popup.getByLabel("I am not a machine").waitFor();
        await screenshot(popup, `captcha-${provider}-${prefix}`);

        await submit.click();
        await alert.filter({ hasText: "missing" }).waitFor();
        assert.equal(sites.verifyRequests.length, 0, "no verification request without a response");

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
        // The Referer header may tell the provider the origin of the page, but neither its path nor the session.
        assert.ok(sites.referrers.every((referrer) => !referrer.includes(session)));
        assert.ok(!sites.referrers.some((referrer) => referrer.includes("_matrix")));
        user.assertNoProblems(UNAUTHORIZED);
      }));
  }
}

/** The URLs from which the real widgets are loaded and which they load, according to the providers' documentation. */
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
    request: "https://api.hcaptcha.com/checksiteconfig",
  },
  turnstile: {
    script: "https://challenges.cloudflare.com/turnstile/v0/api.js",
    parts: ["https://challenges.cloudflare.com/turnstile/v0/g/x/api.js"],
    frame: "https://challenges.cloudflare.com/cdn-cgi/challenge-platform/h/b/turnstile/x",
  },
};

/** Returns a script that loads the same scripts and frame and sends the same request as the provider's real one. */
function providerScript(provider) {
  const { parts, frame, request } = PROVIDER_URLS[provider];
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
      ${request ? `fetch(${JSON.stringify(request)});` : ""}
      ${widget(PROVIDERS[provider])}
    }`;
}

for (const provider of Object.keys(PROVIDERS)) {
  test(`UIA-76 the Content-Security-Policy of the page allows only the URLs that ${provider} needs`, () =>
    withFixtures(
      (sites) => {
        const { GATEHOUSE_CAPTCHA_SCRIPT_URL: _, ...others } = settings(provider)(sites);
        return others;
      },
      async ({ sites, server, user }) => {
        const { script, parts, frame, request: api } = PROVIDER_URLS[provider];
        const requested = [];
        // No request leaves this machine: the test answers in place of the provider.
        await user.context.route(/^https:/, async (route) => {
          const request = route.request();
          const url = request.url();
          requested.push(url);
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
        assert.deepEqual([...requested].sort(), [script, ...parts, frame, ...(api ? [api] : [])].sort());
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
        assert.ok(!requested.some((url) => url.includes("elsewhere")));
        user.assertNoProblems(
          UNAUTHORIZED,
          /^violation: script-src-elem https:.*elsewhere/,
          /^console: .*elsewhere/,
        );
      },
    ));
}
