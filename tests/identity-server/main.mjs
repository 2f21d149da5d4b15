// Binding and unbinding of 3PIDs with Sydent.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { eventually } from "../clients/messages.mjs";
import { runTests, test } from "../clients/test-runner.mjs";
import { NAME, withServers } from "./servers.mjs";

const ALICE = "alice@example.org";
const SECRET = "monkeys_are_GREAT";

/** Sends a request to the identity server. */
async function request(servers, method, path, { body, token } = {}) {
  const response = await fetch(`${servers.url}/${path}`, {
    method,
    headers: token ? { authorization: `Bearer ${token}` } : {},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

const assertOk = ({ status, body }) => {
  assert.equal(status, 200, JSON.stringify(body));
  return body;
};

/** Registers a user with Gatehouse and gets an access token of the identity server for them. */
async function createUser(servers, name) {
  const account = assertOk(
    await servers.gatehouse.register({ username: name, password: PASSWORD, auth: { type: "m.login.dummy" } }),
  );
  const body = {
    access_token: account.user_id,
    token_type: "Bearer",
    matrix_server_name: servers.serverName,
    expires_in: 3600,
  };
  const { token } = assertOk(await request(servers, "POST", "v2/account/register", { body }));
  return { id: account.user_id, token: account.access_token, idToken: token };
}

/** Requests a mail from the identity server and returns the ID of the validation session. */
async function requestToken(servers, user, address) {
  const body = { client_secret: SECRET, email: address, send_attempt: 1 };
  return assertOk(
    await request(servers, "POST", "v2/validate/email/requestToken", { body, token: user.idToken }),
  ).sid;
}

/** Requests a mail from the identity server, validates the address with it and returns the session ID. */
async function validateEmail(servers, user, address) {
  const before = servers.mails.length;
  const sid = await requestToken(servers, user, address);
  const mail = await eventually("mail", () => servers.mails[before]);
  const [, token] = mail.match(/submitToken\?token=(\w+)/);
  const body = { sid, client_secret: SECRET, token };
  const path = "v2/validate/email/submitToken";
  assert.equal(assertOk(await request(servers, "POST", path, { body, token: user.idToken })).success, true);
  return sid;
}

const post = (servers, user, path, body) =>
  servers.gatehouse.request("POST", `/_matrix/client/v3/account/${path}`, { body, token: user.token });

const bind = (servers, user, sid, further = { id_access_token: user.idToken }) =>
  post(servers, user, "3pid/bind", { client_secret: SECRET, sid, id_server: NAME, ...further });

/** Deactivates the account with its password. */
function deactivate(servers, user) {
  const identifier = { type: "m.id.user", user: user.id };
  return post(servers, user, "deactivate", {
    auth: { type: "m.login.password", identifier, password: PASSWORD },
  });
}

/** Returns the user ID that the identity server has for an address. */
async function lookup(servers, user, address) {
  const { lookup_pepper: pepper } = assertOk(
    await request(servers, "GET", "v2/hash_details", { token: user.idToken }),
  );
  const hash = createHash("sha256").update(`${address} email ${pepper}`).digest("base64url");
  const body = { addresses: [hash], algorithm: "sha256", pepper };
  return assertOk(await request(servers, "POST", "v2/lookup", { body, token: user.idToken })).mappings[hash];
}

test("IDS-10, IDS-13: Sydent binds an address for Gatehouse, and accepts the signature of its unbind request", () =>
  withServers({}, async (servers) => {
    const alice = await createUser(servers, "alice");
    const sid = await validateEmail(servers, alice, ALICE);
    assert.deepEqual(assertOk(await bind(servers, alice, sid)), {});
    assert.equal(await lookup(servers, alice, ALICE), alice.id);

    const unbind = () => post(servers, alice, "3pid/unbind", { medium: "email", address: ALICE });
    assert.deepEqual(assertOk(await unbind()), { id_server_unbind_result: "success" });
    assert.equal(await lookup(servers, alice, ALICE), undefined);
    assert.deepEqual(
      servers.keyRequests,
      ["/_matrix/key/v2/server/"],
      "IDS-17, IDS-19: Sydent fetches the signing key exactly once",
    );
    assert.deepEqual(
      assertOk(await unbind()),
      { id_server_unbind_result: "no-support" },
      "the binding is not stored any more",
    );
  }));

test("IDS-15: Sydent also accepts a signing key that the operator has configured", () =>
  withServers(
    { GATEHOUSE_SIGNING_KEY: "ed25519 a_1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1" },
    async (servers) => {
      const alice = await createUser(servers, "alice");
      assertOk(await bind(servers, alice, await validateEmail(servers, alice, ALICE)));
      const body = { medium: "email", address: ALICE, id_server: NAME };
      assert.deepEqual(assertOk(await post(servers, alice, "3pid/unbind", body)), {
        id_server_unbind_result: "success",
      });
      assert.equal(await lookup(servers, alice, ALICE), undefined);
    },
  ));

test("DEACT-07: deactivation removes the binding from Sydent", () =>
  withServers({}, async (servers) => {
    const [alice, bob] = [await createUser(servers, "alice"), await createUser(servers, "bob")];
    assertOk(await bind(servers, alice, await validateEmail(servers, alice, ALICE)));
    assert.equal(await lookup(servers, bob, ALICE), alice.id);
    assert.deepEqual(assertOk(await deactivate(servers, alice)), { id_server_unbind_result: "success" });
    assert.equal(await lookup(servers, bob, ALICE), undefined);
    const { status } = await servers.gatehouse.whoami(alice.token);
    assert.equal(status, 401);
  }));

test("DEACT-11: an unbind request that Sydent did not receive is repeated until it is back", () =>
  withServers({}, async (servers) => {
    const [alice, bob] = [await createUser(servers, "alice"), await createUser(servers, "bob")];
    assertOk(await bind(servers, alice, await validateEmail(servers, alice, ALICE)));
    await servers.sydent.stop();
    assert.deepEqual(assertOk(await deactivate(servers, alice)), { id_server_unbind_result: "no-support" });
    assert.equal((await servers.gatehouse.whoami(alice.token)).status, 401);
    // Advancing the clock while `deliver` processes the row would end the lease of the row.
    const attempts = (count) =>
      eventually(`attempt ${count}`, () => servers.gatehouse.log.split("still bound").length > count);
    await attempts(1);
    await servers.gatehouse.advance(120);
    await attempts(2);
    await servers.sydent.start();
    assert.equal(await lookup(servers, bob, ALICE), alice.id, "Sydent has kept its database");
    await servers.gatehouse.advance(300);
    await eventually("unbinding", async () => (await lookup(servers, bob, ALICE)) === undefined);
  }));

test("ACC3-05: removing a 3PID removes the binding from Sydent", () =>
  withServers({}, async (servers) => {
    const alice = await createUser(servers, "alice");
    assertOk(await bind(servers, alice, await validateEmail(servers, alice, ALICE)));
    const body = { medium: "email", address: ALICE };
    assert.deepEqual(assertOk(await post(servers, alice, "3pid/delete", body)), {
      id_server_unbind_result: "success",
    });
    assert.equal(await lookup(servers, alice, ALICE), undefined);
  }));

test("IDS-07: errors of Sydent for a bind request are passed on", () =>
  withServers({}, async (servers) => {
    const alice = await createUser(servers, "alice");
    const sid = await requestToken(servers, alice, ALICE);
    const assertError = async (status, errcode, response) => {
      const { status: actual, body } = await response;
      assert.deepEqual([actual, body.errcode], [status, errcode], JSON.stringify(body));
    };
    await assertError(400, "M_SESSION_NOT_VALIDATED", bind(servers, alice, sid));
    await assertError(404, "M_NO_VALID_SESSION", bind(servers, alice, "1234"));
    await assertError(401, "M_UNAUTHORIZED", bind(servers, alice, sid, { id_access_token: "wrong" }));
    await assertError(400, "M_MISSING_PARAM", bind(servers, alice, sid, {}));
    assert.equal(await lookup(servers, alice, ALICE), undefined);
  }));

test("IDS-21: with GATEHOUSE_ID_SERVER_API=v1, Sydent binds without an access token", () =>
  withServers({ GATEHOUSE_ID_SERVER_API: "v1" }, async (servers) => {
    const alice = await createUser(servers, "alice");
    assertOk(await bind(servers, alice, await validateEmail(servers, alice, ALICE), {}));
    assert.equal(await lookup(servers, alice, ALICE), alice.id);
  }));

await runTests();
