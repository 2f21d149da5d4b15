// Each stage through its fallback page: a web client on another site opens it, a person does what it asks.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered, trial, withHouse } from "../clients/gatehouse-server.mjs";
import { UNAUTHORIZED, assertThanked, picture, withPerson } from "./browser-user.mjs";
import { withTown } from "./external-sites.mjs";

const DUMMY = "m.login.dummy";
const TERMS = "m.login.terms";
const TOKEN = "m.login.registration_token";
const ALICE = { username: "alice", password: PASSWORD };

/** A town, a house with these settings (which may name the town) and a person in front of a browser. */
export function scene(settings, play, options) {
  return withTown((town) =>
    withHouse({ GATEHOUSE_LIMITS: "off", ...settings(town) }, (house) =>
      withPerson(options, (person) => play({ town, house, person })),
    ),
  );
}

/** The page's one message to the app that opened it. */
async function assertTold(app, house) {
  assert.deepEqual(await app.messages(), [{ data: "authDone", origin: house.url }]);
}

for (const prefix of PREFIXES) {
  trial(
    `UIA-71 m.login.dummy in a popup tells the opener, and the session-only retry registers, ${prefix}`,
    () =>
      scene(
        () => ({}),
        async ({ town, house, person }) => {
          const app = await person.openApp(house, town, prefix, ALICE);
          const popup = await app.openFallback();
          await popup.getByText("You are creating the account “alice” on localhost.").waitFor();
          await picture(popup, `dummy-${prefix}`);
          assert.deepEqual(await app.messages(), []);
          await popup.getByRole("button", { name: "Continue" }).click();
          await assertThanked(popup);
          await picture(popup, `thanks-${prefix}`);
          await assertRegistered(house, await app.answer(1), "@alice:localhost", prefix);
          await assertTold(app, house);
          person.assertQuiet(UNAUTHORIZED);
        },
      ),
  );

  trial(
    `UIA-72 m.login.terms shows every policy in every language, and the next challenge follows, ${prefix}`,
    () =>
      scene(
        (town) => ({
          GATEHOUSE_REGISTRATION_FLOWS: `${TERMS}+${DUMMY}`,
          GATEHOUSE_TERMS: JSON.stringify(town.policies),
        }),
        async ({ town, house, person }) => {
          const app = await person.openApp(house, town, prefix, ALICE);
          const popup = await app.openFallback();
          const links = await popup
            .locator("li")
            .evaluateAll((items) => items.map((item) => [item.lang, item.textContent, item.firstChild.href]));
          const { privacy, conduct } = town.policies;
          const row = (language, { name, url }) => [language, name, url];
          const expected = [row("de", privacy.de), row("en", privacy.en), row("en", conduct.en)];
          assert.deepEqual(links.sort(), expected.sort());
          await picture(popup, `terms-${prefix}`);

          const opened = person.context.waitForEvent("page");
          await popup.getByRole("link", { name: "Datenschutzerklärung" }).click();
          const policy = await opened;
          await policy.getByRole("heading", { name: "/policy/privacy/de" }).waitFor();
          assert.equal(await policy.evaluate(() => window.opener), null);
          await policy.close();

          await popup.getByRole("button", { name: "Accept" }).click();
          await assertThanked(popup);
          const { status, body } = await app.answer(1);
          assert.equal(status, 401);
          assert.deepEqual(body.completed, [TERMS]);
          assert.ok(!("errcode" in body));
          const { session } = body;
          const done = await house.register({ auth: { type: DUMMY, session } }, prefix);
          await assertRegistered(house, done, "@alice:localhost", prefix);
          await assertTold(app, house);
          assert.ok(
            town.referrers.every((referrer) => !referrer.includes(session)),
            "the session is told to nobody",
          );
          person.assertQuiet(UNAUTHORIZED);
        },
      ),
  );

  trial(`UIA-60 m.login.registration_token refuses a wrong token and takes the right one, ${prefix}`, () =>
    scene(
      () => ({ GATEHOUSE_REGISTRATION_FLOWS: TOKEN }),
      async ({ town, house, person }) => {
        const { token } = await house.admin("registration-tokens", "create", "--uses", "1");
        const left = async () => (await house.admin("registration-tokens", "list"))[0].left;
        const app = await person.openApp(house, town, prefix, ALICE);
        const popup = await app.openFallback();
        const field = popup.getByLabel("Registration token");
        const submit = popup.getByRole("button");
        await picture(popup, `token-${prefix}`);

        await submit.click();
        assert.equal(await field.evaluate((input) => input.validity.valueMissing), true);
        await field.fill(`${token}x`);
        await submit.click();
        await popup.getByRole("alert").waitFor();
        assert.match(await popup.getByRole("alert").textContent(), /token/i);
        await picture(popup, `token-wrong-${prefix}`);
        assert.deepEqual(await app.messages(), []);
        const { session } = (await app.answer(0)).body;
        const retry = await house.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);

        await field.fill(token);
        await field.press("Enter");
        await assertThanked(popup);
        await assertRegistered(house, await app.answer(1), "@alice:localhost", prefix);
        assert.equal(await left(), 0);
        await assertTold(app, house);
        // Whoever reloads the last page sends the form again.
        await popup.reload();
        await assertThanked(popup);
        assert.equal(await left(), 0);
        const again = await app.answer(2);
        assert.deepEqual(again, await app.answer(1), "the first answer again");
        person.assertQuiet(UNAUTHORIZED);
      },
    ),
  );

  trial(`UIA-73 showing the page twice completes nothing, sending its form does, ${prefix}`, () =>
    scene(
      () => ({}),
      async ({ town, house, person }) => {
        const app = await person.openApp(house, town, prefix, ALICE);
        const popup = await app.openFallback();
        await popup.reload();
        const { session } = (await app.answer(0)).body;
        const retry = await house.register({ auth: { session } }, prefix);
        assert.deepEqual([retry.status, retry.body.completed], [401, []]);
        assert.ok(!("errcode" in retry.body));
        assert.deepEqual(await app.messages(), []);
        const available = `/_matrix/client/${prefix}/register/available?username=alice`;
        assert.equal((await house.ask("GET", available)).status, 200);

        await popup.getByRole("button").dblclick();
        await assertThanked(popup);
        await assertRegistered(house, await app.answer(1), "@alice:localhost", prefix);
        person.assertQuiet(UNAUTHORIZED);
      },
    ),
  );

  trial(`UIA-71 window.onAuthDone is called in place of the opener where it is defined, ${prefix}`, () =>
    scene(
      () => ({}),
      async ({ town, house, person }) => {
        await person.context.addInitScript(() => {
          window.calls = [];
          window.onAuthDone = (...words) => window.calls.push(words);
        });
        const app = await person.openApp(house, town, prefix, ALICE);
        const popup = await app.openFallback();
        const calls = () => popup.evaluate(() => window.calls);
        assert.deepEqual(await calls(), []);
        await popup.getByRole("button").click();
        await assertThanked(popup);
        assert.deepEqual(await calls(), [[]]);
        assert.deepEqual(await app.messages(), []);
        const { session } = (await app.answer(0)).body;
        const done = await house.register({ auth: { session } }, prefix);
        await assertRegistered(house, done, "@alice:localhost", prefix);
        person.assertQuiet(UNAUTHORIZED);
      },
    ),
  );
}

trial("UIA-71 a page with neither opener nor onAuthDone thanks and does nothing else", () =>
  scene(
    () => ({}),
    async ({ house, person }) => {
      const { body } = await house.register(ALICE);
      const session = encodeURIComponent(body.session);
      const { page } = await person.open(
        `${house.url}/_matrix/client/v3/auth/${DUMMY}/fallback/web?session=${session}`,
      );
      await page.getByRole("button").click();
      await assertThanked(page);
      const done = await house.register({ auth: { session: body.session } });
      await assertRegistered(house, done, "@alice:localhost");
      person.assertQuiet();
    },
  ),
);

trial("UIA-70 the pages work without scripts", () =>
  scene(
    (town) => ({
      GATEHOUSE_REGISTRATION_FLOWS: [TERMS, TOKEN, DUMMY].join("+"),
      GATEHOUSE_TERMS: JSON.stringify(town.policies),
    }),
    async ({ house, person }) => {
      const { token } = await house.admin("registration-tokens", "create");
      const { session } = (await house.register(ALICE)).body;
      for (const stage of [TERMS, TOKEN, DUMMY]) {
        const { page } = await person.open(
          `${house.url}/_matrix/client/r0/auth/${stage}/fallback/web?session=${session}`,
        );
        if (stage === TOKEN) await page.getByLabel("Registration token").fill(token);
        await page.getByRole("button").click();
        await assertThanked(page);
      }
      await assertRegistered(house, await house.register({ auth: { session } }), "@alice:localhost");
    },
    { javaScriptEnabled: false },
  ),
);

trial("UIA-16 the page of a later stage says that another comes first", () =>
  scene(
    (town) => ({
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(town.policies),
    }),
    async ({ house, person }) => {
      const { session } = (await house.register(ALICE)).body;
      const url = `${house.url}/_matrix/client/v3/auth/${DUMMY}/fallback/web?session=${session}`;
      const { page, answer } = await person.open(url);
      assert.equal(answer.status(), 400);
      await page.getByRole("heading", { name: "Not yet" }).waitFor();
      await picture(page, "not-yet");
      const retry = await house.register({ auth: { session } });
      assert.deepEqual(retry.body.completed, []);
      person.assertQuiet(/^console: .*status of 400/);
    },
  ),
);

trial("HTTP-11 a web client on another site can read every answer", () =>
  scene(
    () => ({ GATEHOUSE_LIMITS: "on" }),
    async ({ town, house, person }) => {
      const app = await person.openApp(house, town, "v3", ALICE);
      assert.equal((await app.answer(0)).status, 401);
      const ask = (...words) => app.page.evaluate((words) => ask(...words), words);
      const { access_token: token } = (await ask("POST", "/register", { ...ALICE, auth: { type: DUMMY } }))
        .body;
      const who = await ask("GET", "/account/whoami", undefined, token);
      assert.deepEqual([who.status, who.body.user_id], [200, "@alice:localhost"]);
      const codes = [];
      for (const [method, path, body, bearer] of [
        ["POST", "/register", { username: "alice" }],
        ["GET", "/account/whoami", undefined, "junk"],
        ["GET", "/nothing"],
        ["DELETE", "/register"],
        ["POST", "/register", { username: "x".repeat(2 ** 20) }],
      ]) {
        const { status, body: error } = await ask(method, path, body, bearer);
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
      for (let asked = 0; asked < 200 && limited === undefined; asked += 1) {
        const answer = await ask("GET", "/register/available?username=bob");
        if (answer.status === 429) limited = answer;
      }
      assert.equal(limited?.body.errcode, "M_LIMIT_EXCEEDED");
      assert.ok(Number(limited.retryAfter) >= 1, "Retry-After can be read");
    },
  ),
);
