// A scenario that reads and writes every table through the API. The server may use any implementation of the AWS APIs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";

import { PASSWORD, assertRegistered } from "../clients/gatehouse-server.mjs";
import {
  MESSAGE_SETTINGS,
  PHONE,
  extractCode,
  extractLink,
  submitLinkPage,
  wrongCode,
} from "../clients/messages.mjs";
import { accountThreepids } from "./threepids.mjs";

const TOKEN = "m.login.registration_token";
const TERMS = "m.login.terms";
const EMAIL = "m.login.email.identity";
const MSISDN = "m.login.msisdn";

const V3 = "/_matrix/client/v3";
const AS_TOKEN = "the-as-token-of-the-test-bridge";
const BRIDGE = `id: bridge
as_token: ${AS_TOKEN}
hs_token: unused
sender_localpart: bridge
namespaces:
  users:
    - { exclusive: true, regex: "@bridged_.*" }
`;

/** The settings for the scenario. The rate limits are enabled, as on AWS. */
export const SETTINGS = {
  ...MESSAGE_SETTINGS,
  GATEHOUSE_REGISTRATION_FLOWS: [TOKEN, TERMS, EMAIL, MSISDN].join("+"),
  GATEHOUSE_TERMS: '{"privacy":{"version":"1","en":{"name":"Privacy","url":"https://example.org/p"}}}',
  GATEHOUSE_GUESTS: "true",
  GATEHOUSE_SMS_SENDER_ID: "Example",
  GATEHOUSE_SMS_MAX_PRICE: "0.10",
  GATEHOUSE_SES_CONFIGURATION_SET: "accounts",
};

const assertError = ({ status, body }, ...expected) =>
  assert.deepEqual([status, body.errcode], expected, JSON.stringify(body));

/**
 * A registration, one stage after the other. The function `messages(to, count)` waits for the message number `count` to
 * an address or phone number.
 */
class SignUp {
  constructor(server, messages, parameters) {
    Object.assign(this, { server, messages, parameters });
  }

  send(auth) {
    return this.server.register({
      ...this.parameters,
      ...(auth && { auth: { session: this.session, ...auth } }),
    });
  }

  async expectChallenge(auth) {
    const { status, body } = await this.send(auth);
    assert.deepEqual([status, body.errcode], [401, undefined], JSON.stringify(body));
    return body;
  }

  async start(token) {
    this.session = (await this.expectChallenge(null)).session;
    assertError(await this.send({ type: TOKEN, token: `${token}x` }), 401, "M_UNAUTHORIZED");
    await this.expectChallenge({ type: TOKEN, token });
    assert.deepEqual((await this.expectChallenge({ type: TERMS })).completed, [TOKEN, TERMS]);
  }

  async requestToken(medium, address, attempt) {
    const path = `${V3}/register/${medium}/requestToken`;
    this.secret ??= randomUUID();
    const body = { ...address, client_secret: this.secret, send_attempt: attempt };
    const response = await this.server.request("POST", path, { body });
    assert.equal(response.status, 200, JSON.stringify(response.body));
    return response.body;
  }

  threepid(type, sid) {
    const credentials = { sid, client_secret: this.secret };
    return { type, threepid_creds: credentials, threepidCreds: credentials };
  }

  async email(email, count = 1) {
    const { sid } = await this.requestToken("email", { email }, 1);
    assert.equal((await this.requestToken("email", { email }, 1)).sid, sid);
    const mail = await this.messages(email, count);
    assertError(await this.send(this.threepid(EMAIL, sid)), 401, "M_UNAUTHORIZED");
    const confirmed = await submitLinkPage(extractLink(mail));
    assert.equal(confirmed.status, 200, await confirmed.text());
    assert.deepEqual((await this.expectChallenge(this.threepid(EMAIL, sid))).completed, [
      TOKEN,
      TERMS,
      EMAIL,
    ]);
    return mail;
  }

  async phone(phone) {
    const { country, phone_number, msisdn } = phone;
    const session = await this.requestToken("msisdn", { country, phone_number }, 1);
    assert.equal(session.msisdn, msisdn);
    const text = await this.messages(`+${msisdn}`, 1);
    const submit = async (token) => {
      const body = { sid: session.sid, client_secret: this.secret, token };
      return this.server.request("POST", new URL(session.submit_url).pathname, { body });
    };
    assertError(await submit(wrongCode(extractCode(text))), 400, "M_TOKEN_INCORRECT");
    assert.deepEqual((await submit(extractCode(text))).body, { success: true });
    this.last = this.threepid(MSISDN, session.sid);
    return text;
  }
}

async function addBridge(server) {
  const file = `${process.env.ENGINES_DIR}/bridge.yaml`;
  await writeFile(file, BRIDGE);
  await server.admin("appservices", "add", file);
  await rm(file);
  assert.equal((await server.admin("appservices", "list")).length, 1);
}

const registerBridged = (server, username) =>
  server.request("POST", `${V3}/register`, {
    body: { type: "m.login.application_service", username },
    token: AS_TOKEN,
  });

/**
 * Runs the scenario and returns the mail and the text message of the first registration. `concurrent` must be false if
 * the DynamoDB in use does not isolate concurrent requests from each other.
 */
export async function runScenario(server, messages, { concurrent = true } = {}) {
  const { token } = await server.admin("registration-tokens", "create", "--uses", "3");
  const { id } = await server.admin("registration-tokens", "create");
  await server.admin("registration-tokens", "revoke", id);
  const [row] = await server.admin("registration-tokens", "list");
  assert.equal(row.left, 3);
  await addBridge(server);
  const valid = await server.request(
    "GET",
    `${V3.replace("v3", "v1")}/register/m.login.registration_token/validity?token=${token}`,
  );
  assert.deepEqual(valid.body, { valid: true });

  const alice = new SignUp(server, messages, { username: "alice", password: PASSWORD, refresh_token: true });
  await alice.start(token);
  const mail = await alice.email("alice@example.org");
  const text = await alice.phone(PHONE);
  // Two concurrent requests and a later one create one account and receive the same response.
  const responses = await Promise.all(
    Array.from({ length: concurrent ? 2 : 1 }, () => alice.send(alice.last)),
  );
  await assertRegistered(server, responses[0], "@alice:localhost");
  responses.push(await alice.send(alice.last));
  for (const response of responses) assert.deepEqual(response, responses[0]);
  assertError(await server.register({ username: "alice" }), 400, "M_USER_IN_USE");

  await addressInUse(server, messages, token);
  await guestUpgrade(server, messages, token);
  await applicationServiceUsers(server, concurrent ? 12 : 1);
  await accountThreepids(server, messages, responses[0].body.access_token, "alice@example.org", {
    concurrent,
  });
  await rateLimits(server);
  const [used] = await server.admin("registration-tokens", "list");
  assert.equal(used.left, 1);
  return { mail, text };
}

/**
 * A registration with the address of an existing account gets no hint of that; the account owner gets one notification.
 * A registration whose mail is answered with “It was not me” cannot use the link any more.
 */
async function addressInUse(server, messages, token) {
  const eve = new SignUp(server, messages, { username: "eve", password: PASSWORD });
  await eve.start(token);
  const { sid } = await eve.requestToken("email", { email: "alice@example.org" }, 1);
  const notification = await messages("alice@example.org", 2);
  assert.doesNotMatch(notification.text, /https?:/);
  assertError(await eve.send(eve.threepid(EMAIL, sid)), 401, "M_UNAUTHORIZED");

  const mallory = new SignUp(server, messages, { username: "mallory", password: PASSWORD });
  await mallory.start(token);
  await mallory.requestToken("email", { email: "bob@example.org" }, 1);
  const link = extractLink(await messages("bob@example.org", 1));
  assert.equal((await submitLinkPage(link, "refuse")).status, 200);
  assert.equal((await fetch(link)).status, 400);
}

async function guestUpgrade(server, messages, token) {
  const { status, body } = await server.request("POST", `${V3}/register?kind=guest`, { body: {} });
  assert.equal(status, 200, JSON.stringify(body));
  const [, username] = body.user_id.match(/^@(\d+):localhost$/);
  const upgrade = { username, password: PASSWORD, guest_access_token: body.access_token };
  const carol = new SignUp(server, messages, upgrade);
  await carol.start(token);
  await carol.email("carol@example.org");
  await carol.phone({ country: "DE", phone_number: "0151 23456789", msisdn: "4915123456789" });
  await assertRegistered(server, await carol.send(carol.last), body.user_id);
  assert.equal((await server.whoami(body.access_token)).status, 401);
}

/** A bridge registers its users. Of `many` concurrent registrations of one username, exactly one succeeds. */
async function applicationServiceUsers(server, many) {
  const outcomes = await Promise.all(
    Array.from({ length: many }, () => registerBridged(server, "bridged_x")),
  );
  const results = outcomes.map(({ status, body }) => [status, body.errcode].join(" ")).sort();
  assert.deepEqual(results, ["200 ", ...Array(many - 1).fill("400 M_USER_IN_USE")]);
  assertError(await registerBridged(server, "bridged_x"), 400, "M_USER_IN_USE");
  assertError(await registerBridged(server, "unbridged"), 400, "M_EXCLUSIVE");
}

async function rateLimits(server) {
  const statuses = [];
  for (let count = 0; count < 100 && statuses.at(-1) !== 429; count += 1) {
    statuses.push((await server.request("GET", `${V3}/register/available?username=dave`)).status);
  }
  assert.deepEqual(new Set(statuses), new Set([200, 429]));
}
