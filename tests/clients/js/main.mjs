// matrix-js-sdk, the library of Element Web, registers through its own `InteractiveAuth`.

import assert from "node:assert/strict";

import { PASSWORD, challenged, runTrials, trial, withHouse } from "../gatehouse-server.mjs";
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

trial("UIA-01 InteractiveAuth registers through m.login.dummy by itself", () =>
  withHouse({}, async (house) => {
    const signUp = new SignUp(house, "alice", {});
    await signUp.done("@alice:localhost");
    assert.equal(signUp.auths[0], null, "the library asks without auth first");
    assert.deepEqual(
      signUp.auths.map((auth) => auth?.type ?? null),
      [null, DUMMY],
    );
    assert.deepEqual(signUp.auth.getChosenFlow(), { stages: [DUMMY] });
  }),
);

trial("REG-13 InteractiveAuth rejects with M_USER_IN_USE before any stage", () =>
  withHouse({}, async (house) => {
    await new SignUp(house, "alice", {}).done("@alice:localhost");
    const again = new SignUp(house, "alice", {});
    await assert.rejects(again.auth.attemptAuth(), { errcode: "M_USER_IN_USE", httpStatus: 400 });
    assert.deepEqual(again.auths, [null]);
  }),
);

trial("UIA-60 InteractiveAuth registers through registration_token and dummy, wrong token first", () =>
  withHouse({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (house) => {
    const { token } = await house.admin("registration-tokens", "create", "--uses", "1");
    const signUp = new SignUp(house, "bob", {
      [TOKEN]: ({ auth }, { errcode }) =>
        auth.submitAuthDict({ type: TOKEN, token: errcode ? token : `${token}x` }),
    });
    await signUp.done("@bob:localhost");
    assert.deepEqual(signUp.states, [
      [TOKEN, null],
      [TOKEN, "M_UNAUTHORIZED"],
    ]);
    assert.deepEqual(
      signUp.auths.map((auth) => auth?.type ?? null),
      [null, TOKEN, TOKEN, DUMMY],
    );
    const [row] = await house.admin("registration-tokens", "list");
    assert.deepEqual([row.left, row.good], [0, false]);
  }),
);

trial("UIA-61 InteractiveAuth registers through terms and dummy with the policies of params", () =>
  withHouse(
    {
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(POLICIES),
    },
    async (house) => {
      const signUp = new SignUp(house, "carol", {
        [TERMS]: ({ auth }) => {
          assert.deepEqual(auth.getStageParams(TERMS), { policies: POLICIES });
          auth.submitAuthDict({ type: TERMS });
        },
      });
      await signUp.done("@carol:localhost");
      assert.deepEqual(
        signUp.auths.map((auth) => auth?.type ?? null),
        [null, TERMS, DUMMY],
      );
    },
  ),
);

trial("UIA-18 InteractiveAuth polls while a person does the stage in the fallback page", () =>
  withHouse({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (house) => {
    const { token } = await house.admin("registration-tokens", "create");
    let polls = 0;
    const signUp = new SignUp(house, "dave", {
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
    await signUp.done("@dave:localhost");
    assert.equal(polls, 3, "two polls found the stage undone, the third found it done");
    const last = signUp.auths.at(-1);
    assert.deepEqual([last.type, typeof last.session], [DUMMY, "string"]);
    assert.ok(signUp.auths.slice(1, -1).every((auth) => Object.keys(auth).join() === "session"));
  }),
);

trial("UIA-72 InteractiveAuth gets the account from a poll when the fallback did the last stage", () =>
  withHouse({ GATEHOUSE_REGISTRATION_FLOWS: TOKEN }, async (house) => {
    const { token } = await house.admin("registration-tokens", "create");
    const signUp = new SignUp(house, "erin", {
      [TOKEN]: async ({ auth, client }) => {
        const page = client.getFallbackAuthUrl(TOKEN, auth.getSessionId());
        await fetch(page, { method: "POST", body: new URLSearchParams({ token }) });
        auth.poll();
      },
    });
    await signUp.done("@erin:localhost");
    assert.equal(signUp.auths.length, 2);
  }),
);

trial("UIA-10 InteractiveAuth resumes a session that another client began", () =>
  withHouse({ GATEHOUSE_REGISTRATION_FLOWS: `${TOKEN}+${DUMMY}` }, async (house) => {
    const { token } = await house.admin("registration-tokens", "create");
    const begun = { username: "frank", password: PASSWORD };
    const sessionId = await challenged(house, begun, [[TOKEN, DUMMY]]);
    const answers = { [TOKEN]: ({ auth }) => auth.submitAuthDict({ type: TOKEN, token }) };
    const signUp = new SignUp(house, "frank", answers, { sessionId });
    await signUp.done("@frank:localhost");
    assert.ok(signUp.auths.every((auth) => auth.session === sessionId));
  }),
);

trial("UIA-21 InteractiveAuth takes the flow whose stages it supports", () =>
  withHouse(
    {
      GATEHOUSE_REGISTRATION_FLOWS: `${TERMS} ${TOKEN}+${DUMMY}`,
      GATEHOUSE_TERMS: JSON.stringify(POLICIES),
    },
    async (house) => {
      const { token } = await house.admin("registration-tokens", "create");
      const answers = { [TOKEN]: ({ auth }) => auth.submitAuthDict({ type: TOKEN, token }) };
      const signUp = new SignUp(house, "grace", answers, { supportedStages: [TOKEN, DUMMY] });
      await signUp.done("@grace:localhost");
    },
  ),
);

trial("REG-29 InteractiveAuth rejects with M_FORBIDDEN where registration is closed", () =>
  withHouse({ GATEHOUSE_REGISTRATION: "closed" }, async (house) => {
    const signUp = new SignUp(house, "heidi", {});
    await assert.rejects(signUp.auth.attemptAuth(), { errcode: "M_FORBIDDEN", httpStatus: 403 });
  }),
);

trial("GUEST-01 registerGuest makes a guest", () =>
  withHouse({ GATEHOUSE_GUESTS: "true" }, async (house) => {
    const guest = await createClient({ baseUrl: house.url }).registerGuest();
    const client = createClient({ baseUrl: house.url, accessToken: guest.access_token });
    const who = await client.whoami();
    assert.deepEqual([who.user_id, who.is_guest], [guest.user_id, true]);
  }),
);

trial("AVAIL-01 isUsernameAvailable tells free from taken and rejects what is no name", () =>
  withHouse({}, async (house) => {
    const client = createClient({ baseUrl: house.url });
    assert.equal(await client.isUsernameAvailable("alice"), true);
    await new SignUp(house, "alice", {}).done("@alice:localhost");
    assert.equal(await client.isUsernameAvailable("alice"), false);
    assert.equal(await client.isUsernameAvailable("a+b"), true);
    const wrong = { errcode: "M_INVALID_USERNAME", httpStatus: 400 };
    await assert.rejects(client.isUsernameAvailable("al ice"), wrong);
  }),
);

trial("WHO-01 whoami rejects a token that nobody issued", () =>
  withHouse({}, async (house) => {
    const client = createClient({ baseUrl: house.url, accessToken: "junk" });
    await assert.rejects(client.whoami(), { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 });
  }),
);

trial("VER-01 getVersions reads the list of versions", () =>
  withHouse({}, async (house) => {
    const { versions } = await createClient({ baseUrl: house.url }).getVersions();
    assert.ok(versions.includes("v1.1"), versions.join());
  }),
);

await runTrials();
// The library keeps timers.
process.exit();
