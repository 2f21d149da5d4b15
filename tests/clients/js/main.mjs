// matrix-js-sdk, the client library of Element Web, registers through its class `InteractiveAuth`.

import assert from "node:assert/strict";

import { PASSWORD, expectChallenge } from "../gatehouse-server.mjs";
import { recordSteps } from "../steps.mjs";
import { runTests, test } from "../test-runner.mjs";
import "./oauth.mjs";
import "./threepids.mjs";
import { AuthType, SDK, SignUp, createClient, withServer } from "./sign-up.mjs";

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

test("UIA-01 InteractiveAuth registers with m.login.dummy without user interaction", () =>
  withServer({}, async (server) => {
    const signUp = new SignUp(server, "alice", {});
    await signUp.complete("@alice:localhost");
    assert.equal(signUp.auths[0], null, "the first request has no auth");
    assert.deepEqual(
      signUp.auths.map((auth) => auth?.type ?? null),
      [null, DUMMY],
    );
    assert.deepEqual(signUp.auth.getChosenFlow(), { stages: [DUMMY] });
  }));

test("REFR-01 a client registers, refreshes its token and logs out by the account API", () =>
  withServer({}, (server) =>
    recordSteps(SDK, "account API", async (done) => {
      const account = await new SignUp(server, "alice", {}).complete("@alice:localhost");
      done("signed up");
      const pair = await createClient({ baseUrl: server.url }).refreshToken(account.refresh_token);
      const client = createClient({ baseUrl: server.url, accessToken: pair.access_token });
      assert.equal((await client.whoami()).user_id, "@alice:localhost");
      done("refreshed");
      await client.logout();
      await assert.rejects(client.whoami(), { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 });
      done("logged out");
    }),
  ));

test("REG-13 InteractiveAuth fails with M_USER_IN_USE before any stage", () =>
  withServer({}, async (server) => {
    await new SignUp(server, "alice", {}).complete("@alice:localhost");
    const again = new SignUp(server, "alice", {});
    await assert.rejects(again.auth.attemptAuth(), { errcode: "M_USER_IN_USE", httpStatus: 400 });
    assert.deepEqual(again.auths, [null]);
  }));

test("UIA-60 InteractiveAuth registers with a registration token after a wrong one, then m.login.dummy", () =>
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
  }));

test("UIA-61 InteractiveAuth registers with m.login.terms and m.login.dummy and reads the policies from params", () =>
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
  ));

test("UIA-18 InteractiveAuth polls while the user completes the stage on the fallback page", () =>
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
    assert.equal(polls, 3, "the stage was incomplete at the first two polls and complete at the third");
    const last = signUp.auths.at(-1);
    assert.deepEqual([last.type, typeof last.session], [DUMMY, "string"]);
    assert.ok(signUp.auths.slice(1, -1).every((auth) => Object.keys(auth).join() === "session"));
  }));

test("UIA-72 InteractiveAuth receives the account from a poll after the fallback page completed the last stage", () =>
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
  }));

test("UIA-10 InteractiveAuth resumes a UIA session that another client started", () =>
  withServer({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (server) => {
    const { token } = await server.admin("registration-tokens", "create");
    const parameters = { username: "frank", password: PASSWORD };
    const sessionId = await expectChallenge(server, parameters, [[TOKEN, DUMMY]]);
    const handlers = { [TOKEN]: ({ auth }) => auth.submitAuthDict({ type: TOKEN, token }) };
    const signUp = new SignUp(server, "frank", handlers, { sessionId });
    await signUp.complete("@frank:localhost");
    assert.ok(signUp.auths.every((auth) => auth.session === sessionId));
  }));

test("UIA-21 InteractiveAuth chooses the flow whose stages it supports", () =>
  withServer(
    {
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS} ${TOKEN}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(POLICIES),
    },
    async (server) => {
      const { token } = await server.admin("registration-tokens", "create");
      const handlers = { [TOKEN]: ({ auth }) => auth.submitAuthDict({ type: TOKEN, token }) };
      const signUp = new SignUp(server, "grace", handlers, { supportedStages: [TOKEN, DUMMY] });
      await signUp.complete("@grace:localhost");
    },
  ));

test("REG-29 InteractiveAuth fails with M_FORBIDDEN if registration is closed", () =>
  withServer({ GATEHOUSE_REGISTRATION: "closed" }, async (server) => {
    const signUp = new SignUp(server, "heidi", {});
    await assert.rejects(signUp.auth.attemptAuth(), { errcode: "M_FORBIDDEN", httpStatus: 403 });
  }));

test("GUEST-01 registerGuest registers a guest account", () =>
  withServer({ GATEHOUSE_GUESTS: "true" }, async (server) => {
    const guest = await createClient({ baseUrl: server.url }).registerGuest();
    const client = createClient({ baseUrl: server.url, accessToken: guest.access_token });
    const whoami = await client.whoami();
    assert.deepEqual([whoami.user_id, whoami.is_guest], [guest.user_id, true]);
  }));

test("AVAIL-01 isUsernameAvailable distinguishes free from taken names and fails for an invalid name", () =>
  withServer({}, async (server) => {
    const client = createClient({ baseUrl: server.url });
    assert.equal(await client.isUsernameAvailable("alice"), true);
    await new SignUp(server, "alice", {}).complete("@alice:localhost");
    assert.equal(await client.isUsernameAvailable("alice"), false);
    assert.equal(await client.isUsernameAvailable("a+b"), true);
    const invalid = { errcode: "M_INVALID_USERNAME", httpStatus: 400 };
    await assert.rejects(client.isUsernameAvailable("al ice"), invalid);
  }));

test("WHO-01 whoami fails with M_UNKNOWN_TOKEN for an unknown access token", () =>
  withServer({}, async (server) => {
    const client = createClient({ baseUrl: server.url, accessToken: "junk" });
    await assert.rejects(client.whoami(), { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 });
  }));

test("VER-01 getVersions returns the list of versions", () =>
  withServer({}, async (server) => {
    const { versions } = await createClient({ baseUrl: server.url }).getVersions();
    assert.ok(versions.includes("v1.1"), versions.join());
  }));

await runTests();
// Timers of matrix-js-sdk would keep the process alive.
process.exit();
