// Registrations with an e-mail address and a phone number, made in the same way as Element Web does.

import assert from "node:assert/strict";

import {
  MESSAGE_SETTINGS,
  PHONE,
  extractCode,
  extractLink,
  submitLinkPage,
  waitForMessage,
  wrongCode,
} from "../messages.mjs";
import { test } from "../test-runner.mjs";
import { AuthType, SignUp, withServer } from "./sign-up.mjs";

const EMAIL = AuthType.Email;
const MSISDN = AuthType.Msisdn;
const DUMMY = AuthType.Dummy;
const ADDRESS = "Alice@Example.org";
const ELEMENT = "app.example.org";

/** Returns the `next_link` that Element Web sends. Its parameters are in the fragment. */
function nextLink(secret, session, host = ELEMENT) {
  const query = new URLSearchParams({
    client_secret: secret,
    hs_url: "https://matrix.example.org",
    session_id: session,
  });
  return `https://${host}/#/register?${query}`;
}

/** Returns the options that make `InteractiveAuth` request a mail. The arguments are recorded in `request`. */
function withEmail(request, host = ELEMENT) {
  const client = () => request.signUp.client;
  return {
    inputs: { emailAddress: ADDRESS },
    supportedStages: [EMAIL, MSISDN, DUMMY],
    requestEmailToken: async (email, secret, attempt, session) => {
      Object.assign(request, { email, secret, attempt, session, link: nextLink(secret, session, host) });
      request.response = await client().requestRegisterEmailToken(email, secret, attempt, request.link);
      return request.response;
    },
  };
}

/** The inputs that make `InteractiveAuth` choose a flow with a phone number. */
const PHONE_INPUTS = { phoneCountry: PHONE.country, phoneNumber: PHONE.phone_number };

const settings = (flows) => ({
  ...MESSAGE_SETTINGS,
  GATEHOUSE_LIMITS: "off",
  GATEHOUSE_NEXT_LINK_HOSTS: ELEMENT,
  GATEHOUSE_REGISTRATION_FLOWS: flows,
});

/** Opens the link of the mail, confirms, and returns the status and the redirect target, if any. */
async function confirm(server, to) {
  const confirmed = await submitLinkPage(extractLink(await waitForMessage(server, to)));
  return { status: confirmed.status, location: confirmed.headers.get("location") };
}

/** Returns the `auth` object as Element Web builds it, with both spellings of the credentials. */
function credentials(type, sid, client_secret) {
  const creds = { sid, client_secret };
  return { type, threepid_creds: creds, threepidCreds: creds };
}

test("3PID-04 InteractiveAuth requests a mail, polls, and registers once the link is confirmed", () =>
  withServer(settings(`${DUMMY} ${EMAIL}+${DUMMY}`), async (server) => {
    const request = {};
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
      withEmail(request),
    );
    request.signUp = signUp;
    await signUp.complete("@alice:localhost");
    assert.deepEqual(signUp.auth.getChosenFlow(), { stages: [EMAIL, DUMMY] });
    assert.deepEqual(Object.keys(request.response), ["sid"], "the response has no submit_url (3PID-40)");
    assert.equal(signUp.auth.getEmailSid(), request.response.sid);
    assert.deepEqual(confirmed, { status: 303, location: `${request.link}&sid=${request.response.sid}` });
    assert.ok(
      polls.every((errcode) => [null, "M_UNAUTHORIZED"].includes(errcode)),
      `${polls}`,
    );
  }));

test("3PID-32 a tab opened by next_link continues with the session, sid and client_secret of its URL", () =>
  withServer(settings(`${EMAIL}+${DUMMY}`), async (server) => {
    const request = {};
    const first = new SignUp(server, "alice", { [EMAIL]: () => {} }, withEmail(request));
    request.signUp = first;
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
        requestEmailToken: () => assert.fail("the address has been validated already"),
      },
    );
    await second.complete("@alice:localhost");
  }));

test("3PID-31 a next_link to a host that is not in GATEHOUSE_NEXT_LINK_HOSTS is accepted and ignored", () =>
  withServer(settings(EMAIL), async (server) => {
    const request = {};
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
      withEmail(request, "elsewhere.example"),
    );
    request.signUp = signUp;
    await signUp.complete("@alice:localhost");
    assert.deepEqual(await confirmed.promise, { status: 200, location: null });
  }));

test("3PID-01 InteractiveAuth fails with the error of the server for an invalid e-mail address", () =>
  withServer(settings(`${EMAIL}+${DUMMY}`), async (server) => {
    const request = {};
    const options = { ...withEmail(request), inputs: { emailAddress: "alice at example" } };
    const signUp = new SignUp(server, "alice", { [EMAIL]: () => {} }, options);
    request.signUp = signUp;
    await assert.rejects(signUp.auth.attemptAuth(), { errcode: "M_INVALID_PARAM", httpStatus: 400 });
  }));

test("3PID-40 submit_url rejects a wrong code, and both spellings of the credentials register", () =>
  withServer(settings(MSISDN), async (server) => {
    const msisdns = [];
    const signUp = new SignUp(
      server,
      "bob",
      {
        [MSISDN]: async ({ auth, client }, { errcode }) => {
          assert.equal(errcode, undefined);
          const secret = auth.getClientSecret();
          const { country, phone_number: number, msisdn } = PHONE;
          const link = nextLink(secret, auth.getSessionId());
          const response = await client.requestRegisterMsisdnToken(country, number, secret, 1, link);
          msisdns.push(response.msisdn);
          const code = extractCode(await waitForMessage(server, `+${msisdn}`));
          const submit = (code) =>
            client.submitMsisdnTokenOtherUrl(response.submit_url, response.sid, secret, code);
          await assert.rejects(submit(wrongCode(code)), { httpStatus: 400 });
          assert.deepEqual(await submit(code), { success: true });
          await auth.submitAuthDict(credentials(MSISDN, response.sid, secret));
        },
      },
      { inputs: PHONE_INPUTS },
    );
    await signUp.complete("@bob:localhost");
    assert.deepEqual(msisdns, [PHONE.msisdn]);
  }));

test("UIA-50 InteractiveAuth validates an e-mail address and a phone number in one flow", () =>
  withServer(settings(`${EMAIL}+${MSISDN}`), async (server) => {
    const request = {};
    const confirmed = {};
    const signUp = new SignUp(
      server,
      "carol",
      {
        [EMAIL]: async ({ auth }) => {
          if (request.response) confirmed.once ??= await confirm(server, "alice@example.org");
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
      { ...withEmail(request), inputs: { emailAddress: ADDRESS, ...PHONE_INPUTS } },
    );
    request.signUp = signUp;
    await signUp.complete("@carol:localhost");
  }));
