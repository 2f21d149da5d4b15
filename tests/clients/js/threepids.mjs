// Sign-ups with an e-mail address and a phone number, as Element Web makes them.

import assert from "node:assert/strict";

import { trial, withHouse } from "../gatehouse-server.mjs";
import { PHONE, POST, codeIn, linkIn, message, otherThan, press } from "../messages.mjs";
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
function byMail(asked, host = ELEMENT) {
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
const BY_PHONE = { phoneCountry: PHONE.country, phoneNumber: PHONE.phone_number };

const settings = (flows) => ({
  ...POST,
  GATEHOUSE_LIMITS: "off",
  GATEHOUSE_NEXT_LINK_HOSTS: ELEMENT,
  GATEHOUSE_REGISTRATION_FLOWS: flows,
});

/** Opens the mail's link, confirms, and gives where the browser is sent, if anywhere. */
async function confirm(house, to) {
  const confirmed = await press(linkIn(await message(house, to)));
  return { status: confirmed.status, location: confirmed.headers.get("location") };
}

/** The stage's dictionary as Element spells it, which is in both ways. */
function credentials(type, sid, client_secret) {
  const creds = { sid, client_secret };
  return { type, threepid_creds: creds, threepidCreds: creds };
}

trial("3PID-04 InteractiveAuth asks for a mail, polls, and registers when its link is confirmed", () =>
  withHouse(settings(`${DUMMY} ${EMAIL}+${DUMMY}`), async (house) => {
    const asked = {};
    const polls = [];
    let confirmed;
    const signUp = new SignUp(
      house,
      "alice",
      {
        [EMAIL]: async ({ auth }, status) => {
          polls.push(status.errcode ?? null);
          if (status.errcode === "M_UNAUTHORIZED") {
            confirmed ??= await confirm(house, "alice@example.org");
          }
          await auth.poll();
        },
      },
      byMail(asked),
    );
    asked.signUp = signUp;
    await signUp.done("@alice:localhost");
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

trial(
  "3PID-32 another tab that next_link opened goes on with session, sid and secret of its own address",
  () =>
    withHouse(settings(`${EMAIL}+${DUMMY}`), async (house) => {
      const asked = {};
      const first = new SignUp(house, "alice", { [EMAIL]: () => {} }, byMail(asked));
      asked.signUp = first;
      first.auth.attemptAuth().catch(() => {});
      const { location } = await confirm(house, "alice@example.org");
      const told = new URLSearchParams(location.slice(location.lastIndexOf("?")));
      const second = new SignUp(
        house,
        "alice",
        { [EMAIL]: ({ auth }) => auth.poll() },
        {
          inputs: { emailAddress: ADDRESS },
          sessionId: told.get("session_id"),
          clientSecret: told.get("client_secret"),
          emailSid: told.get("sid"),
          requestEmailToken: () => assert.fail("it has been validated already"),
        },
      );
      await second.done("@alice:localhost");
    }),
);

trial("3PID-31 a next_link on a host that nobody named is taken, and leads nowhere", () =>
  withHouse(settings(EMAIL), async (house) => {
    const asked = {};
    const confirmed = Promise.withResolvers();
    let polls = 0;
    const signUp = new SignUp(
      house,
      "alice",
      {
        [EMAIL]: async ({ auth }) => {
          polls += 1;
          if (polls === 2) confirmed.resolve(await confirm(house, "alice@example.org"));
          await auth.poll();
        },
      },
      byMail(asked, "elsewhere.example"),
    );
    asked.signUp = signUp;
    await signUp.done("@alice:localhost");
    assert.deepEqual(await confirmed.promise, { status: 200, location: null });
  }),
);

trial("3PID-01 InteractiveAuth rejects with what the server says of an address that is none", () =>
  withHouse(settings(`${EMAIL}+${DUMMY}`), async (house) => {
    const asked = {};
    const options = { ...byMail(asked), inputs: { emailAddress: "alice at example" } };
    const signUp = new SignUp(house, "alice", { [EMAIL]: () => {} }, options);
    asked.signUp = signUp;
    await assert.rejects(signUp.auth.attemptAuth(), { errcode: "M_INVALID_PARAM", httpStatus: 400 });
  }),
);

trial(
  "3PID-40 a code goes to submit_url, a wrong one first, and both spellings of the credentials register",
  () =>
    withHouse(settings(MSISDN), async (house) => {
      const shown = [];
      const signUp = new SignUp(
        house,
        "bob",
        {
          [MSISDN]: async ({ auth, client }, { errcode }) => {
            assert.equal(errcode, undefined);
            const secret = auth.getClientSecret();
            const { country, phone_number: number, msisdn } = PHONE;
            const link = nextLink(secret, auth.getSessionId());
            const asked = await client.requestRegisterMsisdnToken(country, number, secret, 1, link);
            shown.push(asked.msisdn);
            const code = codeIn(await message(house, `+${msisdn}`));
            const submit = (code) =>
              client.submitMsisdnTokenOtherUrl(asked.submit_url, asked.sid, secret, code);
            await assert.rejects(submit(otherThan(code)), { httpStatus: 400 });
            assert.deepEqual(await submit(code), { success: true });
            await auth.submitAuthDict(credentials(MSISDN, asked.sid, secret));
          },
        },
        { inputs: BY_PHONE },
      );
      await signUp.done("@bob:localhost");
      assert.deepEqual(shown, [PHONE.msisdn]);
    }),
);

trial("UIA-50 InteractiveAuth proves an address and a number in one flow", () =>
  withHouse(settings(`${EMAIL}+${MSISDN}`), async (house) => {
    const asked = {};
    const confirmed = {};
    const signUp = new SignUp(
      house,
      "carol",
      {
        [EMAIL]: async ({ auth }) => {
          if (asked.answer) confirmed.once ??= await confirm(house, "alice@example.org");
          await auth.poll();
        },
        [MSISDN]: async ({ auth, client }) => {
          const secret = auth.getClientSecret();
          const { country, phone_number: number, msisdn } = PHONE;
          const { sid, submit_url } = await client.requestRegisterMsisdnToken(country, number, secret, 1);
          const code = codeIn(await message(house, `+${msisdn}`));
          await client.submitMsisdnTokenOtherUrl(submit_url, sid, secret, code);
          await auth.submitAuthDict(credentials(MSISDN, sid, secret));
        },
      },
      { ...byMail(asked), inputs: { emailAddress: ADDRESS, ...BY_PHONE } },
    );
    asked.signUp = signUp;
    await signUp.done("@carol:localhost");
  }),
);
