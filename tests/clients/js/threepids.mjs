// Sign-ups with an e-mail address and a phone number, as Element Web makes them.

import assert from "node:assert/strict";

import { test, withServer } from "../gatehouse-server.mjs";
import { PHONE, MESSAGE_SETTINGS, extractCode, extractLink, waitForMessage, wrongCode, submitLinkPage } from "../messages.mjs";
import { AuthType, SignUp } from "./sign-up.mjs";

const EMAIL = AuthType.Email;
const MSISDN = AuthType.Msisdn;
const DUMMY = AuthType.Dummy;
const ADDRESS = "Alice@Example.org";
const ELEMENT = "app.example.org";

/** Where Element wants the mail's link to lead in the end. Its server names itself behind the fragment. */
function nextLink(secret, session, host = ELEMENT) {
  const query = new URLSearchParams({
    client_secret: secret,
    hs_url: "https://matrix.example.org",
    session_id: session,
  });
  return `https://${host}/#/register?${query}`;
}

/** What makes `InteractiveAuth` ask for a mail; `asked` takes down how. */
function withEmail(asked, host = ELEMENT) {
  const client = () => asked.signUp.client;
  return {
    inputs: { emailAddress: ADDRESS },
    supportedStages: [EMAIL, MSISDN, DUMMY],
    requestEmailToken: async (email, secret, attempt, session) => {
      Object.assign(asked, { email, secret, attempt, session, link: nextLink(secret, session, host) });
      asked.answer = await client().requestRegisterEmailToken(email, secret, attempt, asked.link);
      return asked.answer;
    },
  };
}

/** What makes `InteractiveAuth` choose a flow with a number. */
const PHONE_INPUTS = { phoneCountry: PHONE.country, phoneNumber: PHONE.phone_number };

const settings = (flows) => ({
  ...MESSAGE_SETTINGS,
  GATEHOUSE_LIMITS: "off",
  GATEHOUSE_NEXT_LINK_HOSTS: ELEMENT,
  GATEHOUSE_REGISTRATION_FLOWS: flows,
});

/** Opens the mail's link, confirms, and gives where the browser is sent, if anywhere. */
async function confirm(server, to) {
  const confirmed = await submitLinkPage(extractLink(await waitForMessage(server, to)));
  return { status: confirmed.status, location: confirmed.headers.get("location") };
}

/** The stage's dictionary as Element spells it, which is in both ways. */
function credentials(type, sid, client_secret) {
  const creds = { sid, client_secret };
  return { type, threepid_creds: creds, threepidCreds: creds };
}

test("3PID-04 InteractiveAuth asks for a mail, polls, and registers when its link is confirmed", () =>
  withServer(settings(`${DUMMY} ${EMAIL}+${DUMMY}`), async (server) => {
    const asked = {};
    const polls = [];
    let confirmed;
    const signUp = new SignUp(
      server,
      "alice",
      {
        [EMAIL]: async ({ auth }, status) => {
          polls.push(status.errcode ?? null);
          if (status.errcode === "M_UNAUTHORIZED") {
            confirmed ??= await confirm(server, "alice@example.org");
          }
          await auth.poll();
        },
      },
      withEmail(asked),
    );
    asked.signUp = signUp;
    await signUp.complete("@alice:localhost");
    assert.deepEqual(signUp.auth.getChosenFlow(), { stages: [EMAIL, DUMMY] });
    assert.deepEqual(Object.keys(asked.answer), ["sid"], "there is no code to type (3PID-40)");
    assert.equal(signUp.auth.getEmailSid(), asked.answer.sid);
    assert.deepEqual(confirmed, { status: 303, location: `${asked.link}&sid=${asked.answer.sid}` });
    assert.ok(
      polls.every((errcode) => [null, "M_UNAUTHORIZED"].includes(errcode)),
      `${polls}`,
    );
  }),
);

test(
  "3PID-32 another tab that next_link opened goes on with session, sid and secret of its own address",
  () =>
    withServer(settings(`${EMAIL}+${DUMMY}`), async (server) => {
      const asked = {};
      const first = new SignUp(server, "alice", { [EMAIL]: () => {} }, withEmail(asked));
      asked.signUp = first;
      first.auth.attemptAuth().catch(() => {});
      const { location } = await confirm(server, "alice@example.org");
      const parameters = new URLSearchParams(location.slice(location.lastIndexOf("?")));
      const second = new SignUp(
        server,
        "alice",
        { [EMAIL]: ({ auth }) => auth.poll() },
        {
          inputs: { emailAddress: ADDRESS },
          sessionId: parameters.get("session_id"),
          clientSecret: parameters.get("client_secret"),
          emailSid: parameters.get("sid"),
          requestEmailToken: () => assert.fail("it has been validated already"),
        },
      );
      await second.complete("@alice:localhost");
    }),
);

test("3PID-31 a next_link on a host that nobody named is taken, and leads nowhere", () =>
  withServer(settings(EMAIL), async (server) => {
    const asked = {};
    const confirmed = Promise.withResolvers();
    let polls = 0;
    const signUp = new SignUp(
      server,
      "alice",
      {
        [EMAIL]: async ({ auth }) => {
          polls += 1;
          if (polls === 2) confirmed.resolve(await confirm(server, "alice@example.org"));
          await auth.poll();
        },
      },
      withEmail(asked, "elsewhere.example"),
    );
    asked.signUp = signUp;
    await signUp.complete("@alice:localhost");
    assert.deepEqual(await confirmed.promise, { status: 200, location: null });
  }),
);

test("3PID-01 InteractiveAuth rejects with what the server says of an address that is none", () =>
  withServer(settings(`${EMAIL}+${DUMMY}`), async (server) => {
    const asked = {};
    const options = { ...withEmail(asked), inputs: { emailAddress: "alice at example" } };
    const signUp = new SignUp(server, "alice", { [EMAIL]: () => {} }, options);
    asked.signUp = signUp;
    await assert.rejects(signUp.auth.attemptAuth(), { errcode: "M_INVALID_PARAM", httpStatus: 400 });
  }),
);

test(
  "3PID-40 a code goes to submit_url, a wrong one first, and both spellings of the credentials register",
  () =>
    withServer(settings(MSISDN), async (server) => {
      const shown = [];
      const signUp = new SignUp(
        server,
        "bob",
        {
          [MSISDN]: async ({ auth, client }, { errcode }) => {
            assert.equal(errcode, undefined);
            const secret = auth.getClientSecret();
            const { country, phone_number: number, msisdn } = PHONE;
            const link = nextLink(secret, auth.getSessionId());
            const asked = await client.requestRegisterMsisdnToken(country, number, secret, 1, link);
            shown.push(asked.msisdn);
            const code = extractCode(await waitForMessage(server, `+${msisdn}`));
            const submit = (code) =>
              client.submitMsisdnTokenOtherUrl(asked.submit_url, asked.sid, secret, code);
            await assert.rejects(submit(wrongCode(code)), { httpStatus: 400 });
            assert.deepEqual(await submit(code), { success: true });
            await auth.submitAuthDict(credentials(MSISDN, asked.sid, secret));
          },
        },
        { inputs: PHONE_INPUTS },
      );
      await signUp.complete("@bob:localhost");
      assert.deepEqual(shown, [PHONE.msisdn]);
    }),
);

test("UIA-50 InteractiveAuth proves an address and a number in one flow", () =>
  withServer(settings(`${EMAIL}+${MSISDN}`), async (server) => {
    const asked = {};
    const confirmed = {};
    const signUp = new SignUp(
      server,
      "carol",
      {
        [EMAIL]: async ({ auth }) => {
          if (asked.answer) confirmed.once ??= await confirm(server, "alice@example.org");
          await auth.poll();
        },
        [MSISDN]: async ({ auth, client }) => {
          const secret = auth.getClientSecret();
          const { country, phone_number: number, msisdn } = PHONE;
          const { sid, submit_url } = await client.requestRegisterMsisdnToken(country, number, secret, 1);
          const code = extractCode(await waitForMessage(server, `+${msisdn}`));
          await client.submitMsisdnTokenOtherUrl(submit_url, sid, secret, code);
          await auth.submitAuthDict(credentials(MSISDN, sid, secret));
        },
      },
      { ...withEmail(asked), inputs: { emailAddress: ADDRESS, ...PHONE_INPUTS } },
    );
    asked.signUp = signUp;
    await signUp.complete("@carol:localhost");
  }),
);
