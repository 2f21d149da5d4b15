// The fallback page of each stage. A web client on another site opens it, and the user completes the stage.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered } from "../clients/gatehouse-server.mjs";
import { test } from "../clients/test-runner.mjs";
import { UNAUTHORIZED, assertStageCompleted, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";

const DUMMY = "m.login.dummy";
const TERMS = "m.login.terms";
const TOKEN = "m.login.registration_token";
const ALICE = { username: "alice", password: PASSWORD };

/** Asserts that the fallback page has sent exactly one message to the client that opened it: `authDone`. */
async function assertAuthDone(client, server) {
  assert.deepEqual(await client.messages(), [{ data: "authDone", origin: server.url }]);
}

for (const prefix of PREFIXES) {
  test(`UIA-71 m.login.dummy in a popup notifies the opener, and a retry with only the session registers, ${prefix}`, () =>
    withFixtures(
      () => ({}),
      async ({ sites, server, user }) => {
        const client = await user.openWebClient(server, sites, prefix, ALICE);
        const popup = await client.openFallback();
        await popup.getByText("You are creating the account “alice” on localhost.").waitFor();
        await screenshot(popup, `dummy-${prefix}`);
        assert.deepEqual(await client.messages(), []);
        await popup.getByRole("button", { name: "Continue" }).click();
        await assertStageCompleted(popup);
        await screenshot(popup, `thanks-${prefix}`);
        await assertRegistered(server, await client.response(1), "@alice:localhost", prefix);
        await assertAuthDone(client, server);
        user.assertNoProblems(UNAUTHORIZED);
      },
    ));

  test(`UIA-72 m.login.terms shows every policy in every language and is completed by accepting, ${prefix}`, () =>
    withFixtures(
      (sites) => ({
        GATEHOUSE_REGISTRATION_FLOWS: `${TERMS}+${DUMMY}`,
        GATEHOUSE_TERMS: JSON.stringify(sites.policies),
      }),
      async ({ sites, server, user }) => {
        const client = await user.openWebClient(server, sites, prefix, ALICE);
        const popup = await client.openFallback();
        const links = await popup
          .locator("li")
          .evaluateAll((items) => items.map((item) => [item.lang, item.textContent, item.firstChild.href]));
        const { privacy, conduct } = sites.policies;
        const row = (language, { name, url }) => [language, name, url];
        const expected = [row("de", privacy.de), row("en", privacy.en), row("en", conduct.en)];
        assert.deepEqual(links.sort(), expected.sort());
        await screenshot(popup, `terms-${prefix}`);

        const opened = user.context.waitForEvent("page");
        await popup.getByRole("link", { name: "Datenschutzerklärung" }).click();
        const policy = await opened;
        await policy.getByRole("heading", { name: "/policy/privacy/de" }).waitFor();
        assert.equal(await policy.evaluate(() => window.opener), null);
        await policy.close();

        await popup.getByRole("button", { name: "Accept" }).click();
        await assertStageCompleted(popup);
        const { status, body } = await client.response(1);
        assert.equal(status, 401);
        assert.deepEqual(body.completed, [TERMS]);
        assert.ok(!("errcode" in body));
        const { session } = body;
        const done = await server.register({ auth: { type: DUMMY, session } }, prefix);
        await assertRegistered(server, done, "@alice:localhost", prefix);
        await assertAuthDone(client, server);
        assert.ok(
          sites.referrers.every((referrer) => !referrer.includes(session)),
          "a Referer header contains the session",
        );
        user.assertNoProblems(UNAUTHORIZED);
      },
    ));

  test(`UIA-60 m.login.registration_token rejects a wrong token and accepts a valid one, ${prefix}`, () =>
    withFixtures(
      () => ({ GATEHOUSE_REGISTRATION_FLOWS: TOKEN }),
      async ({ sites, server, user }) => {
        const { token } = await server.admin("registration-tokens", "create", "--uses", "1");
        const left = async () => (await server.admin("registration-tokens", "list"))[0].left;
        const client = await user.openWebClient(server, sites, prefix, ALICE);
        const popup = await client.openFallback();
        const field = popup.getByLabel("Registration token");
        const submit = popup.getByRole("button");
        await screenshot(popup, `token-${prefix}`);

        await submit.click();
        assert.equal(await field.evaluate((input) => input.validity.valueMissing), true);
        await field.fill(`${token}x`);
        await submit.click();
        await popup.getByRole("alert").waitFor();
        assert.match(await popup.getByRole("alert").textContent(), /token/i);
        await screenshot(popup, `token-wrong-${prefix}`);
        assert.deepEqual(await client.messages(), []);
        const { session } = (await client.response(0)).body;
        const retry = await server.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);

        await field.fill(token);
        await field.press("Enter");
        await assertStageCompleted(popup);
        await assertRegistered(server, await client.response(1), "@alice:localhost", prefix);
        assert.equal(await left(), 0);
        await assertAuthDone(client, server);
        // Reloading the last page sends the form again.
        await popup.reload();
        await assertStageCompleted(popup);
        assert.equal(await left(), 0);
        const repeated = await client.response(2);
        assert.deepEqual(repeated, await client.response(1), "the response is the same as before");
        user.assertNoProblems(UNAUTHORIZED);
      },
    ));

  test(`UIA-73 loading the page does not complete the stage, submitting its form does, ${prefix}`, () =>
    withFixtures(
      () => ({}),
      async ({ sites, server, user }) => {
        const client = await user.openWebClient(server, sites, prefix, ALICE);
        const popup = await client.openFallback();
        await popup.reload();
        const { session } = (await client.response(0)).body;
        const retry = await server.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);
        assert.ok(!("errcode" in retry.body));
        assert.deepEqual(await client.messages(), []);
        const available = `/_matrix/client/${prefix}/register/available?username=alice`;
        assert.equal((await server.request("GET", available)).status, 200);

        await popup.getByRole("button").dblclick();
        await assertStageCompleted(popup);
        await assertRegistered(server, await client.response(1), "@alice:localhost", prefix);
        user.assertNoProblems(UNAUTHORIZED);
      },
    ));

  test(`UIA-71 window.onAuthDone is called instead of the opener if it is defined, ${prefix}`, () =>
    withFixtures(
      () => ({}),
      async ({ sites, server, user }) => {
        await user.context.addInitScript(() => {
          window.calls = [];
          window.onAuthDone = (...args) => window.calls.push(args);
        });
        const client = await user.openWebClient(server, sites, prefix, ALICE);
        const popup = await client.openFallback();
        const calls = () => popup.evaluate(() => window.calls);
        assert.deepEqual(await calls(), []);
        await popup.getByRole("button").click();
        await assertStageCompleted(popup);
        assert.deepEqual(await calls(), [[]]);
        assert.deepEqual(await client.messages(), []);
        const { session } = (await client.response(0)).body;
        const done = await server.register({ auth: { session } }, prefix);
        await assertRegistered(server, done, "@alice:localhost", prefix);
        user.assertNoProblems(UNAUTHORIZED);
      },
    ));
}

test("UIA-71 a page with neither opener nor onAuthDone only shows the confirmation", () =>
  withFixtures(
    () => ({}),
    async ({ server, user }) => {
      const { body } = await server.register(ALICE);
      const session = encodeURIComponent(body.session);
      const { page } = await user.open(
        `${server.url}/_matrix/client/v3/auth/${DUMMY}/fallback/web?session=${session}`,
      );
      await page.getByRole("button").click();
      await assertStageCompleted(page);
      const done = await server.register({ auth: { session: body.session } });
      await assertRegistered(server, done, "@alice:localhost");
      user.assertNoProblems();
    },
  ));

test("UIA-70 the pages work without JavaScript", () =>
  withFixtures(
    (sites) => ({
      GATEHOUSE_REGISTRATION_FLOWS: [TERMS, TOKEN, DUMMY].join("+"),
      GATEHOUSE_TERMS: JSON.stringify(sites.policies),
    }),
    async ({ server, user }) => {
      const { token } = await server.admin("registration-tokens", "create");
      const { session } = (await server.register(ALICE)).body;
      for (const stage of [TERMS, TOKEN, DUMMY]) {
        const { page } = await user.open(
          `${server.url}/_matrix/client/r0/auth/${stage}/fallback/web?session=${session}`,
        );
        if (stage === TOKEN) await page.getByLabel("Registration token").fill(token);
        await page.getByRole("button").click();
        await assertStageCompleted(page);
      }
      await assertRegistered(server, await server.register({ auth: { session } }), "@alice:localhost");
    },
    { javaScriptEnabled: false },
  ));

test("UIA-16 the page of a later stage says that an earlier one is incomplete", () =>
  withFixtures(
    (sites) => ({
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(sites.policies),
    }),
    async ({ server, user }) => {
      const { session } = (await server.register(ALICE)).body;
      const url = `${server.url}/_matrix/client/v3/auth/${DUMMY}/fallback/web?session=${session}`;
      const { page, response } = await user.open(url);
      assert.equal(response.status(), 400);
      await page.getByRole("heading", { name: "Not yet" }).waitFor();
      await screenshot(page, "not-yet");
      const retry = await server.register({ auth: { session } });
      assert.deepEqual(retry.body.completed, []);
      user.assertNoProblems(/^console: .*status of 400/);
    },
  ));

test("HTTP-11 a web client on another site can read every response", () =>
  withFixtures(
    () => ({ GATEHOUSE_LIMITS: "on" }),
    async ({ sites, server, user }) => {
      const client = await user.openWebClient(server, sites, "v3", ALICE);
      assert.equal((await client.response(0)).status, 401);
      const send = (...args) => client.page.evaluate((args) => request(...args), args);
      const { access_token: token } = (await send("POST", "/register", { ...ALICE, auth: { type: DUMMY } }))
        .body;
      const whoami = await send("GET", "/account/whoami", undefined, token);
      assert.deepEqual([whoami.status, whoami.body.user_id], [200, "@alice:localhost"]);
      const codes = [];
      for (const [method, path, body, bearer] of [
        ["POST", "/register", { username: "alice" }],
        ["GET", "/account/whoami", undefined, "junk"],
        ["GET", "/nothing"],
        ["DELETE", "/register"],
        ["POST", "/register", { username: "x".repeat(2 ** 20) }],
      ]) {
        const { status, body: error } = await send(method, path, body, bearer);
        codes.push([status, error.errcode]);
      }
      assert.deepEqual(codes, [
        [400, "M_USER_IN_USE"],
        [401, "M_UNKNOWN_TOKEN"],
        [404, "M_UNRECOGNIZED"],
        [405, "M_UNRECOGNIZED"],
        [413, "M_TOO_LARGE"],
      ]);
      let limited;
      for (let count = 0; count < 200 && limited === undefined; count += 1) {
        const response = await send("GET", "/register/available?username=bob");
        if (response.status === 429) limited = response;
      }
      assert.equal(limited?.body.errcode, "M_LIMIT_EXCEEDED");
      assert.ok(Number(limited.retryAfter) >= 1, "the client cannot read Retry-After");
    },
  ));
