// matrix-js-sdk, the library of Element Web, registers through its own `InteractiveAuth`.

import assert from "node:assert/strict";

import { PASSWORD, expectChallenge, runTests, test, withServer } from "../gatehouse-server.mjs";
import "./threepids.mjs";
import { AuthType, SignUp, createClient } from "./sign-up.mjs";

const DUMMY = AuthType.Dummy;
const TOKEN = AuthType.RegistrationToken;
const TERMS = AuthType.Terms;

const POLICIES = {
  privacy: {
    version: "1.2",
    en: { name: "Privacy policy", url: "https://example.org/privacy" },
    de: { name: "Datenschutz", url: "https://example.org/datenschutz" },
  },
};

test("UIA-01 InteractiveAuth registers through m.login.dummy by itself", () =>
  withServer({}, async (server) => {
    const signUp = new SignUp(server, "alice", {});
    await signUp.complete("@alice:localhost");
    assert.equal(signUp.auths[0], null, "the library asks without auth first");
    assert.deepEqual(
      signUp.auths.map((auth) => auth?.type ?? null),
      [null, DUMMY],
    );
    assert.deepEqual(signUp.auth.getChosenFlow(), { stages: [DUMMY] });
  }),
);

test("REG-13 InteractiveAuth rejects with M_USER_IN_USE before any stage", () =>
  withServer({}, async (server) => {
    await new SignUp(server, "alice", {}).complete("@alice:localhost");
    const again = new SignUp(server, "alice", {});
    await assert.rejects(again.auth.attemptAuth(), { errcode: "M_USER_IN_USE", httpStatus: 400 });
    assert.deepEqual(again.auths, [null]);
  }),
);

test("UIA-60 InteractiveAuth registers through registration_token and dummy, wrong token first", () =>
  withServer({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (server) => {
    const { token } = await server.admin("registration-tokens", "create", "--uses", "1");
    const signUp = new SignUp(server, "bob", {
      [TOKEN]: ({ auth }, { errcode }) =>
        auth.submitAuthDict({ type: TOKEN, token: errcode ? token : `${token}x` }),
    });
    await signUp.complete("@bob:localhost");
    assert.deepEqual(signUp.states, [
      [TOKEN, null],
      [TOKEN, "M_UNAUTHORIZED"],
    ]);
    assert.deepEqual(
      signUp.auths.map((auth) => auth?.type ?? null),
      [null, TOKEN, TOKEN, DUMMY],
    );
    const [row] = await server.admin("registration-tokens", "list");
    assert.deepEqual([row.left, row.good], [0, false]);
  }),
);

test("UIA-61 InteractiveAuth registers through terms and dummy with the policies of params", () =>
  withServer(
    {
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(POLICIES),
    },
    async (server) => {
      const signUp = new SignUp(server, "carol", {
        [TERMS]: ({ auth }) => {
          assert.deepEqual(auth.getStageParams(TERMS), { policies: POLICIES });
          auth.submitAuthDict({ type: TERMS });
        },
      });
      await signUp.complete("@carol:localhost");
      assert.deepEqual(
        signUp.auths.map((auth) => auth?.type ?? null),
        [null, TERMS, DUMMY],
      );
    },
  ),
);

test("UIA-18 InteractiveAuth polls while a person does the stage in the fallback page", () =>
  withServer({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (server) => {
    const { token } = await server.admin("registration-tokens", "create");
    let polls = 0;
    const signUp = new SignUp(server, "dave", {
      [TOKEN]: async ({ auth, client }) => {
        polls += 1;
        if (polls === 3) {
          const page = client.getFallbackAuthUrl(TOKEN, auth.getSessionId());
          const shown = await fetch(page);
          assert.equal(shown.status, 200);
          const sent = await fetch(page, { method: "POST", body: new URLSearchParams({ token }) });
          assert.equal(sent.status, 200);
          assert.match(await sent.text(), /onAuthDone/);
        }
        auth.poll();
      },
    });
    await signUp.complete("@dave:localhost");
    assert.equal(polls, 3, "two polls found the stage undone, the third found it done");
    const last = signUp.auths.at(-1);
    assert.deepEqual([last.type, typeof last.session], [DUMMY, "string"]);
    assert.ok(signUp.auths.slice(1, -1).every((auth) => Object.keys(auth).join() === "session"));
  }),
);

test("UIA-72 InteractiveAuth gets the account from a poll when the fallback did the last stage", () =>
  withServer({ GATEHOUSE_REGISTRATION_FLOWS: TOKEN }, async (server) => {
    const { token } = await server.admin("registration-tokens", "create");
    const signUp = new SignUp(server, "erin", {
      [TOKEN]: async ({ auth, client }) => {
        const page = client.getFallbackAuthUrl(TOKEN, auth.getSessionId());
        await fetch(page, { method: "POST", body: new URLSearchParams({ token }) });
        auth.poll();
      },
    });
    await signUp.complete("@erin:localhost");
    assert.equal(signUp.auths.length, 2);
  }),
);

test("UIA-10 InteractiveAuth resumes a session that another client began", () =>
  withServer({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (server) => {
    const { token } = await server.admin("registration-tokens", "create");
    const begun = { username: "frank", password: PASSWORD };
    const sessionId = await expectChallenge(server, begun, [[TOKEN, DUMMY]]);
    const answers = { [TOKEN]: ({ auth }) => auth.submitAuthDict({ type: TOKEN, token }) };
    const signUp = new SignUp(server, "frank", answers, { sessionId });
    await signUp.complete("@frank:localhost");
    assert.ok(signUp.auths.every((auth) => auth.session === sessionId));
  }),
);

test("UIA-21 InteractiveAuth takes the flow whose stages it supports", () =>
  withServer(
    {
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS} ${TOKEN}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(POLICIES),
    },
    async (server) => {
      const { token } = await server.admin("registration-tokens", "create");
      const answers = { [TOKEN]: ({ auth }) => auth.submitAuthDict({ type: TOKEN, token }) };
      const signUp = new SignUp(server, "grace", answers, { supportedStages: [TOKEN, DUMMY] });
      await signUp.complete("@grace:localhost");
    },
  ),
);

test("REG-29 InteractiveAuth rejects with M_FORBIDDEN where registration is closed", () =>
  withServer({ GATEHOUSE_REGISTRATION: "closed" }, async (server) => {
    const signUp = new SignUp(server, "heidi", {});
    await assert.rejects(signUp.auth.attemptAuth(), { errcode: "M_FORBIDDEN", httpStatus: 403 });
  }),
);

test("GUEST-01 registerGuest makes a guest", () =>
  withServer({ GATEHOUSE_GUESTS: "true" }, async (server) => {
    const guest = await createClient({ baseUrl: server.url }).registerGuest();
    const client = createClient({ baseUrl: server.url, accessToken: guest.access_token });
    const who = await client.whoami();
    assert.deepEqual([who.user_id, who.is_guest], [guest.user_id, true]);
  }),
);

test("AVAIL-01 isUsernameAvailable tells free from taken and rejects what is no name", () =>
  withServer({}, async (server) => {
    const client = createClient({ baseUrl: server.url });
    assert.equal(await client.isUsernameAvailable("alice"), true);
    await new SignUp(server, "alice", {}).complete("@alice:localhost");
    assert.equal(await client.isUsernameAvailable("alice"), false);
    assert.equal(await client.isUsernameAvailable("a+b"), true);
    const wrong = { errcode: "M_INVALID_USERNAME", httpStatus: 400 };
    await assert.rejects(client.isUsernameAvailable("al ice"), wrong);
  }),
);

test("WHO-01 whoami rejects a token that nobody issued", () =>
  withServer({}, async (server) => {
    const client = createClient({ baseUrl: server.url, accessToken: "junk" });
    await assert.rejects(client.whoami(), { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 });
  }),
);

test("VER-01 getVersions reads the list of versions", () =>
  withServer({}, async (server) => {
    const { versions } = await createClient({ baseUrl: server.url }).getVersions();
    assert.ok(versions.includes("v1.1"), versions.join());
  }),
);

await runTests();
// The library keeps timers.
process.exit();
