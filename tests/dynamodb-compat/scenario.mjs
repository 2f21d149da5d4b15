// A walk through everything that reads or writes a table, past whichever services the server was given.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";

import { PASSWORD, assertRegistered } from "../clients/gatehouse-server.mjs";
import { PHONE, MESSAGE_SETTINGS, extractCode, extractLink, wrongCode, submitLinkPage } from "../clients/messages.mjs";
import { accountThreepids } from "./threepids.mjs";

const TOKEN = "m.login.registration_token";
const TERMS = "m.login.terms";
const EMAIL = "m.login.email.identity";
const MSISDN = "m.login.msisdn";

const V3 = "/_matrix/client/v3";
const AS_TOKEN = "a-token-of-a-bridge-that-nobody-guesses";
const BRIDGE = `id: bridge
as_token: ${AS_TOKEN}
hs_token: of-no-interest-here
sender_localpart: bridge
namespaces:
  users:
    - { exclusive: true, regex: "@bridged_.*" }
`;

/** The settings of a server to walk through, with the limits as they are on AWS. */
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
 * Somebody who signs up, one stage after the other. `messages` says how the next message to somebody is got
 * hold of, `count` how many there are with it.
 */
class SignUp {
  constructor(server, messages, parameters) {
    Object.assign(this, { server, messages, parameters });
  }

  ask(auth) {
    return this.server.register({
      ...this.parameters,
      ...(auth && { auth: { session: this.session, ...auth } }),
    });
  }

  async pass(auth) {
    const { status, body } = await this.ask(auth);
    assert.deepEqual([status, body.errcode], [401, undefined], JSON.stringify(body));
    return body;
  }

  async begin(token) {
    this.session = (await this.pass(null)).session;
    assertError(await this.ask({ type: TOKEN, token: `${token}x` }), 401, "M_UNAUTHORIZED");
    await this.pass({ type: TOKEN, token });
    assert.deepEqual((await this.pass({ type: TERMS })).completed, [TOKEN, TERMS]);
  }

  async requestToken(medium, address, attempt) {
    const path = `${V3}/register/${medium}/requestToken`;
    this.secret ??= randomUUID();
    const asked = { ...address, client_secret: this.secret, send_attempt: attempt };
    const { status, body } = await this.server.request("POST", path, { body: asked });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  threepid(type, sid) {
    const credentials = { sid, client_secret: this.secret };
    return { type, threepid_creds: credentials, threepidCreds: credentials };
  }

  async email(email, count = 1) {
    const { sid } = await this.requestToken("email", { email }, 1);
    assert.equal((await this.requestToken("email", { email }, 1)).sid, sid);
    const mail = await this.messages(email, count);
    assertError(await this.ask(this.threepid(EMAIL, sid)), 401, "M_UNAUTHORIZED");
    const confirmed = await submitLinkPage(extractLink(mail));
    assert.equal(confirmed.status, 200, await confirmed.text());
    assert.deepEqual((await this.pass(this.threepid(EMAIL, sid))).completed, [TOKEN, TERMS, EMAIL]);
    return mail;
  }

  async phone(phone) {
    const { country, phone_number, msisdn } = phone;
    const asked = await this.requestToken("msisdn", { country, phone_number }, 1);
    assert.equal(asked.msisdn, msisdn);
    const text = await this.messages(`+${msisdn}`, 1);
    const submit = async (token) => {
      const body = { sid: asked.sid, client_secret: this.secret, token };
      return this.server.request("POST", new URL(asked.submit_url).pathname, { body });
    };
    assertError(await submit(wrongCode(extractCode(text))), 400, "M_TOKEN_INCORRECT");
    assert.deepEqual((await submit(extractCode(text))).body, { success: true });
    this.last = this.threepid(MSISDN, asked.sid);
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
 * Walks, and gives the mail and the text message of the first sign-up. Whether the services keep what many
 * do at once apart is to be said: not all do.
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
  await alice.begin(token);
  const mail = await alice.email("alice@example.org");
  const text = await alice.phone(PHONE);
  // Two at once and one later: one account, one answer.
  const answers = await Promise.all(Array.from({ length: concurrent ? 2 : 1 }, () => alice.ask(alice.last)));
  await assertRegistered(server, answers[0], "@alice:localhost");
  answers.push(await alice.ask(alice.last));
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  assertError(await server.register({ username: "alice" }), 400, "M_USER_IN_USE");

  await addressInUse(server, messages, token);
  await guestUpgrade(server, messages, token);
  await applicationServiceUsers(server, concurrent ? 12 : 1);
  await accountThreepids(server, messages, answers[0].body.access_token, "alice@example.org", { concurrent });
  await rateLimits(server);
  const [spent] = await server.admin("registration-tokens", "list");
  assert.equal(spent.left, 1);
  return { mail, text };
}

/** Who asks for an address that has an account is told nothing, and its owner is told once. */
async function addressInUse(server, messages, token) {
  const eve = new SignUp(server, messages, { username: "eve", password: PASSWORD });
  await eve.begin(token);
  const { sid } = await eve.requestToken("email", { email: "alice@example.org" }, 1);
  const notification = await messages("alice@example.org", 2);
  assert.doesNotMatch(notification.text, /https?:/);
  assertError(await eve.ask(eve.threepid(EMAIL, sid)), 401, "M_UNAUTHORIZED");

  const mallory = new SignUp(server, messages, { username: "mallory", password: PASSWORD });
  await mallory.begin(token);
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
  await carol.begin(token);
  await carol.email("carol@example.org");
  await carol.phone({ country: "DE", phone_number: "0151 23456789", msisdn: "4915123456789" });
  await assertRegistered(server, await carol.ask(carol.last), body.user_id);
  assert.equal((await server.whoami(body.access_token)).status, 401);
}

/** A bridge makes its users, and of `many` who want one name at once one gets it. */
async function applicationServiceUsers(server, many) {
  const answers = await Promise.all(Array.from({ length: many }, () => registerBridged(server, "bridged_x")));
  const responses = answers.map(({ status, body }) => [status, body.errcode].join(" ")).sort();
  assert.deepEqual(responses, ["200 ", ...Array(many - 1).fill("400 M_USER_IN_USE")]);
  assertError(await registerBridged(server, "bridged_x"), 400, "M_USER_IN_USE");
  assertError(await registerBridged(server, "unbridged"), 400, "M_EXCLUSIVE");
}

async function rateLimits(server) {
  const responses = [];
  for (let asked = 0; asked < 100 && responses.at(-1) !== 429; asked += 1) {
    responses.push((await server.request("GET", `${V3}/register/available?username=dave`)).status);
  }
  assert.deepEqual(new Set(responses), new Set([200, 429]));
}
