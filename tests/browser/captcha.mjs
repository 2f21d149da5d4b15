// m.login.recaptcha through its fallback page, for each provider.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered, trial } from "../clients/gatehouse-server.mjs";
import { UNAUTHORIZED, assertThanked, picture } from "./browser-user.mjs";
import { scene } from "./stages.mjs";
import { PROVIDERS, widget } from "./external-sites.mjs";

const CAPTCHA = "m.login.recaptcha";
const BOB = { username: "bob", password: PASSWORD };
const settings = (provider) => (town) => ({
  GATEHOUSE_REGISTRATION_FLOWS: CAPTCHA,
  ...town.captcha(provider),
});

/** The response that the provider's widget gives whoever ticks its box. */
const HUMAN = "human site-key";

for (const prefix of PREFIXES) {
  for (const provider of Object.keys(PROVIDERS)) {
    trial(`UIA-47 m.login.recaptcha with ${provider}: none, a wrong and a right response, ${prefix}`, () =>
      scene(settings(provider), async ({ town, house, person }) => {
        const app = await person.openApp(house, town, prefix, BOB);
        assert.deepEqual((await app.answer(0)).body.params, { [CAPTCHA]: { public_key: "site-key" } });
        const popup = await app.openFallback();
        const [alert, submit] = [popup.getByRole("alert"), popup.getByRole("button")];
        await popup.getByLabel("I am not a machine").waitFor();
        await picture(popup, `captcha-${provider}-${prefix}`);

        await submit.click();
        await alert.filter({ hasText: "missing" }).waitFor();
        assert.equal(town.verified.length, 0, "nothing was sent, so nothing is asked");

        town.verdict = () => false;
        await popup.getByLabel("I am not a machine").check();
        await submit.click();
        await alert.filter({ hasText: "not valid" }).waitFor();

        town.verdict = () => null;
        await popup.getByLabel("I am not a machine").check();
        await submit.click();
        await alert.filter({ hasText: "try again" }).waitFor();
        await picture(popup, `captcha-${provider}-unreachable-${prefix}`);
        assert.deepEqual(await app.messages(), []);
        const { session } = (await app.answer(0)).body;
        const retry = await house.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);

        town.verdict = (form) => form.get("response") === HUMAN;
        await popup.getByLabel("I am not a machine").check();
        await submit.click();
        await assertThanked(popup);
        await assertRegistered(house, await app.answer(1), "@bob:localhost", prefix);
        assert.deepEqual(await app.messages(), [{ data: "authDone", origin: house.url }]);
        const sent = town.verified.map((form) => Object.fromEntries(form));
        assert.deepEqual(sent, Array(3).fill({ secret: "the-secret-key", response: HUMAN }));
        // The provider may know on which site its widget is, and no more.
        assert.ok(town.referrers.every((referrer) => !referrer.includes(session)));
        assert.ok(!town.referrers.some((referrer) => referrer.includes("_matrix")));
        person.assertQuiet(UNAUTHORIZED);
      }),
    );
  }
}

/** Where the real widgets come from and what they load, by the providers' documentation. */
const REAL = {
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
function realScript(provider) {
  const { parts, frame, asks } = REAL[provider];
  return `addEventListener("DOMContentLoaded", start);
    if (document.readyState !== "loading") start();
    function start() {
      if (window.started) return;
      window.started = true;
      const place = document.querySelector(".${PROVIDERS[provider].place}");
      for (const src of ${JSON.stringify(parts)})
        document.head.append(Object.assign(document.createElement("script"), { src }));
      const frame = Object.assign(document.createElement("iframe"), { src: ${JSON.stringify(frame)} });
      frame.style.cssText = "width: 302px; height: 76px; border: 0";
      place.append(frame);
      ${asks ? `fetch(${JSON.stringify(asks)});` : ""}
      ${widget(PROVIDERS[provider])}
    }`;
}

for (const provider of Object.keys(PROVIDERS)) {
  trial(
    `UIA-76 the page's policy lets in what ${provider} loads from its own addresses and nothing else`,
    () =>
      scene(
        (town) => {
          const { GATEHOUSE_CAPTCHA_SCRIPT_URL: _, ...others } = settings(provider)(town);
          return others;
        },
        async ({ town, house, person }) => {
          const { script, parts, frame, asks } = REAL[provider];
          const asked = [];
          // Nothing leaves this machine: the browser is told what the provider would answer.
          await person.context.route(/^https:/, async (route) => {
            const request = route.request();
            const url = request.url();
            asked.push(url);
            const { referer } = await request.allHeaders();
            assert.ok(!referer?.includes("session"), referer);
            const headers = { "access-control-allow-origin": "*" };
            if (url === script) {
              return route.fulfill({ contentType: "text/javascript", headers, body: realScript(provider) });
            }
            if (url === frame) return route.fulfill({ contentType: "text/html", body: "<p>a widget" });
            if (parts.includes(url)) return route.fulfill({ contentType: "text/javascript", body: "" });
            return route.fulfill({ contentType: "application/json", headers, body: "{}" });
          });
          const app = await person.openApp(house, town, "v3", BOB);
          const popup = await app.openFallback();
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
          await assertThanked(popup);
          await assertRegistered(house, await app.answer(1), "@bob:localhost");
          assert.ok(!asked.some((url) => url.includes("elsewhere")));
          person.assertQuiet(
            UNAUTHORIZED,
            /^violation: script-src-elem https:.*elsewhere/,
            /^console: .*elsewhere/,
          );
        },
      ),
  );
}
