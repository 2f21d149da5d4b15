// The dev UI at `/_local/`. Pages of other sites must have no access to it.

import assert from "node:assert/strict";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { test } from "../clients/test-runner.mjs";
import { assertInert, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";

const ALICE = { username: "alice", password: PASSWORD, auth: { type: "m.login.dummy" } };

test("the dev UI shows the configuration, the requests and the messages, but no secret", () =>
  withFixtures(
    () => ({ GATEHOUSE_SERVER_NAME: "example.org" }),
    async ({ server, user }) => {
      const { page, response } = await user.open(`${server.url}/_local/`);
      await assertInert(page, response, 200);
      await page.getByRole("heading", { name: "Gatehouse is running for example.org" }).waitFor();
      await page.getByText("None yet.").waitFor();
      await page.getByText("No message yet.").waitFor();
      await screenshot(page, "local-empty");

      const { body } = await server.register(ALICE);
      await server.whoami(body.access_token);
      await server.request("GET", `/_matrix/client/v3/account/whoami?access_token=${body.access_token}`);
      await server.request("GET", "/_matrix/%3Cscript%3Ewindow.wasHacked=1%3C/script%3E");
      await assertInert(page, await page.reload(), 200);
      const rows = await page.locator("table").first().locator("tr").allTextContents();
      for (const pattern of [
        /POST \/_matrix\/client\/v3\/register\s+200/,
        /whoami\s+200/,
        /wasHacked.*\s+404/,
      ]) {
        assert.ok(
          rows.some((row) => pattern.test(row)),
          `no row matches ${pattern}: ${rows}`,
        );
      }
      const text = await page.content();
      const environment = await (await fetch(`${server.url}/_local/env`)).text();
      const [, secret] = environment.match(/^export GATEHOUSE_SECRET='([^']+)'$/m);
      for (const hidden of [secret, PASSWORD, body.access_token]) {
        assert.ok(!text.includes(hidden), "a secret is on the page");
      }
      await screenshot(page, "local");
      user.assertNoProblems();
    },
  ));

test("the dev UI fits a window of 960 pixels, in dark mode and with a long path", () =>
  withFixtures(
    () => ({}),
    async ({ server, user }) => {
      await server.register(ALICE);
      await server.request("GET", `/_matrix/${"x".repeat(500)}`);
      const { page } = await user.open(`${server.url}/_local/`);
      await screenshot(page, "local-small");
      const [scrollWidth, clientWidth] = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return [scrollWidth, clientWidth];
      });
      assert.ok(scrollWidth <= clientWidth, `${scrollWidth} px wide in a window of ${clientWidth} px`);
      const wrapped = await page.locator("th, .short").evaluateAll((cells) =>
        cells.filter((cell) => {
          const text = document.createRange();
          text.selectNodeContents(cell);
          return text.getClientRects().length > 1;
        }),
      );
      assert.equal(wrapped.length, 0, "a short cell is wrapped");
      user.assertNoProblems();
    },
    { viewport: { width: 960, height: 740 }, colorScheme: "dark" },
  ));

test("a page of another site can neither read from nor change anything through the dev UI", () =>
  withFixtures(
    () => ({}),
    async ({ sites, server, user }) => {
      const { page } = await user.open(`${sites.url}/policy/x`);
      const fetched = await page.evaluate(async (url) => {
        const outcomes = [];
        for (const [method, path, mode] of [
          ["GET", "", "cors"],
          ["GET", "env", "cors"],
          ["GET", "env", "no-cors"],
          ["GET", "outbox", "cors"],
          ["DELETE", "outbox", "cors"],
          ["POST", "clock", "cors"],
          ["POST", "clock", "no-cors"],
        ]) {
          const body = method === "POST" ? '{"advance_seconds":3600}' : undefined;
          const outcome = await fetch(`${url}/_local/${path}`, { method, mode, body })
            .then(async (response) => `${response.type} ${await response.text()}`)
            .catch(() => "blocked");
          outcomes.push(outcome);
        }
        return outcomes;
      }, server.url);
      const opaque = "opaque ";
      assert.deepEqual(fetched, ["blocked", "blocked", opaque, "blocked", "blocked", "blocked", opaque]);

      const { body } = await server.register(ALICE);
      const clock = await fetch(`${server.url}/_local/clock`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"advance_seconds":0}',
      });
      const { now } = await clock.json();
      assert.ok(Math.abs(now - Date.now()) < 60_000, "the clock was not moved");
      assert.equal((await server.whoami(body.access_token)).status, 200);

      await page.evaluate((url) => {
        const link = Object.assign(document.createElement("a"), { href: url, textContent: "Look" });
        document.body.append(link);
      }, `${server.url}/_local/`);
      const response = page.waitForResponse(`${server.url}/_local/`);
      await page.getByRole("link", { name: "Look" }).click();
      assert.equal((await response).status(), 403);
    },
  ));
