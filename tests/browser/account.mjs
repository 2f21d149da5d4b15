// The account page without the OAuth 2.0 API, on which users read what they can change in their app.

import assert from "node:assert/strict";

import { MESSAGE_SETTINGS } from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { assertInert, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";

/** A homeserver to which no request is sent. */
const settings = () => ({
  ...MESSAGE_SETTINGS,
  GATEHOUSE_AUTH_APIS: "legacy",
  GATEHOUSE_HOMESERVER_URL: "http://127.0.0.1:9",
  GATEHOUSE_HOMESERVER_SECRET: "secret-of-the-homeserver",
});

for (const javaScriptEnabled of [true, false]) {
  test(`HS-09 the account page fits a phone, ${javaScriptEnabled ? "with" : "without"} JavaScript`, () =>
    withFixtures(
      settings,
      async ({ server, user }) => {
        const discovery = await server.request("GET", "/.well-known/openid-configuration");
        const { page, response } = await user.open(discovery.body.account_management_uri);
        if (javaScriptEnabled) await assertInert(page, response, 200);
        assert.equal(response.status(), 200);
        await page.getByRole("heading", { name: /^Your account on / }).waitFor();
        assert.equal(await page.getByRole("listitem").count(), 6);
        const { width } = await page.locator("body").boundingBox();
        assert.ok(width <= 320, `${width} px wide on a screen of 320 px`);
        for (const item of await page.getByRole("listitem").all()) {
          const box = await item.boundingBox();
          assert.ok(box.x + box.width <= 320, `an item ends at ${box.x + box.width} px`);
        }
        await screenshot(page, `account-${javaScriptEnabled ? "with" : "without"}-javascript`);
        user.assertNoProblems();
      },
      { javaScriptEnabled, viewport: { width: 320, height: 568 }, isMobile: true, deviceScaleFactor: 2 },
    ));
}
