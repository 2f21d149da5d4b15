// Addresses between a house and a real identity server.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { PASSWORD, runTrials, trial } from "../clients/gatehouse-server.mjs";
import { eventually } from "../clients/messages.mjs";
import { NAME, withTown } from "./servers.mjs";

const ALICE = "alice@example.org";
const SECRET = "monkeys_are_GREAT";

/** Asks the identity server. */
async function ask(town, method, path, { body, token } = {}) {
  const response = await fetch(`${town.url}/${path}`, {
    method,
    headers: token ? { authorization: `Bearer ${token}` } : {},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

const good = ({ status, body }) => {
  assert.equal(status, 200, JSON.stringify(body));
  return body;
};

/** A user of the house, with a token of the identity server. */
async function user(town, name) {
  const house = good(
    await town.house.register({ username: name, password: PASSWORD, auth: { type: "m.login.dummy" } }),
  );
  const body = {
    access_token: house.user_id,
    token_type: "Bearer",
    matrix_server_name: town.serverName,
    expires_in: 3600,
  };
  const { token } = good(await ask(town, "POST", "v2/account/register", { body }));
  return { id: house.user_id, token: house.access_token, idToken: token };
}

/** A session at the identity server that has asked for a mail. */
async function requested(town, who, address) {
  const body = { client_secret: SECRET, email: address, send_attempt: 1 };
  return good(await ask(town, "POST", "v2/validate/email/requestToken", { body, token: who.idToken })).sid;
}

/** The same, and the mail's link was followed. */
async function validated(town, who, address) {
  const before = town.mails.length;
  const sid = await requested(town, who, address);
  const mail = await eventually("mail", () => town.mails[before]);
  const [, token] = mail.match(/submitToken\?token=(\w+)/);
  const body = { sid, client_secret: SECRET, token };
  const path = "v2/validate/email/submitToken";
  assert.equal(good(await ask(town, "POST", path, { body, token: who.idToken })).success, true);
  return sid;
}

const post = (town, who, path, body) =>
  town.house.ask("POST", `/_matrix/client/v3/account/${path}`, { body, token: who.token });

const bind = (town, who, sid, further = { id_access_token: who.idToken }) =>
  post(town, who, "3pid/bind", { client_secret: SECRET, sid, id_server: NAME, ...further });

/** Ends the account by its password. */
function deactivate(town, who) {
  const identifier = { type: "m.id.user", user: who.id };
  return post(town, who, "deactivate", { auth: { type: "m.login.password", identifier, password: PASSWORD } });
}

/** Who is found by an address. */
async function found(town, who, address) {
  const { lookup_pepper: pepper } = good(await ask(town, "GET", "v2/hash_details", { token: who.idToken }));
  const hash = createHash("sha256").update(`${address} email ${pepper}`).digest("base64url");
  const body = { addresses: [hash], algorithm: "sha256", pepper };
  return good(await ask(town, "POST", "v2/lookup", { body, token: who.idToken })).mappings[hash];
}

trial("IDS-10, IDS-13: Sydent binds an address for the house, and believes its signature when it takes it back", () =>
  withTown({}, async (town) => {
    const alice = await user(town, "alice");
    const sid = await validated(town, alice, ALICE);
    assert.deepEqual(good(await bind(town, alice, sid)), {});
    assert.equal(await found(town, alice, ALICE), alice.id);

    const unbind = () => post(town, alice, "3pid/unbind", { medium: "email", address: ALICE });
    assert.deepEqual(good(await unbind()), { id_server_unbind_result: "success" });
    assert.equal(await found(town, alice, ALICE), undefined);
    assert.deepEqual(town.asked, ["/_matrix/key/v2/server/"], "IDS-17, IDS-19: the key was fetched, once");
    assert.deepEqual(good(await unbind()), { id_server_unbind_result: "no-support" }, "nothing is recorded any more");
  }),
);

trial("IDS-15: Sydent believes a key of the operator's own, too", () =>
  withTown({ GATEHOUSE_SIGNING_KEY: "ed25519 a_1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1" }, async (town) => {
    const alice = await user(town, "alice");
    good(await bind(town, alice, await validated(town, alice, ALICE)));
    const body = { medium: "email", address: ALICE, id_server: NAME };
    assert.deepEqual(good(await post(town, alice, "3pid/unbind", body)), { id_server_unbind_result: "success" });
    assert.equal(await found(town, alice, ALICE), undefined);
  }),
);

trial("DEACT-07: deactivation has Sydent forget the address", () =>
  withTown({}, async (town) => {
    const [alice, bob] = [await user(town, "alice"), await user(town, "bob")];
    good(await bind(town, alice, await validated(town, alice, ALICE)));
    assert.equal(await found(town, bob, ALICE), alice.id);
    assert.deepEqual(good(await deactivate(town, alice)), { id_server_unbind_result: "success" });
    assert.equal(await found(town, bob, ALICE), undefined);
    const { status } = await town.house.whoami(alice.token);
    assert.equal(status, 401);
  }),
);

trial("DEACT-11: what Sydent could not be told of a deactivation it is told when it is back", () =>
  withTown({}, async (town) => {
    const [alice, bob] = [await user(town, "alice"), await user(town, "bob")];
    good(await bind(town, alice, await validated(town, alice, ALICE)));
    await town.sydent.stop();
    assert.deepEqual(good(await deactivate(town, alice)), { id_server_unbind_result: "no-support" });
    assert.equal((await town.house.whoami(alice.token)).status, 401);
    // A clock that is moved on while a row is worked on would end the lease on it.
    const tries = (count) =>
      eventually(`attempt ${count}`, () => town.house.log.split("still bound").length > count);
    await tries(1);
    await town.house.advance(120);
    await tries(2);
    await town.sydent.start();
    assert.equal(await found(town, bob, ALICE), alice.id, "it knows what it knew");
    await town.house.advance(300);
    await eventually("unbinding", async () => (await found(town, bob, ALICE)) === undefined);
  }),
);

trial("ACC3-05: removing an address has Sydent forget it", () =>
  withTown({}, async (town) => {
    const alice = await user(town, "alice");
    good(await bind(town, alice, await validated(town, alice, ALICE)));
    const body = { medium: "email", address: ALICE };
    assert.deepEqual(good(await post(town, alice, "3pid/delete", body)), { id_server_unbind_result: "success" });
    assert.equal(await found(town, alice, ALICE), undefined);
  }),
);

trial("IDS-07: what Sydent says against a binding is passed on", () =>
  withTown({}, async (town) => {
    const alice = await user(town, "alice");
    const sid = await requested(town, alice, ALICE);
    const refused = async (status, errcode, answer) => {
      const { status: found, body } = await answer;
      assert.deepEqual([found, body.errcode], [status, errcode], JSON.stringify(body));
    };
    await refused(400, "M_SESSION_NOT_VALIDATED", bind(town, alice, sid));
    await refused(404, "M_NO_VALID_SESSION", bind(town, alice, "1234"));
    await refused(401, "M_UNAUTHORIZED", bind(town, alice, sid, { id_access_token: "wrong" }));
    await refused(400, "M_MISSING_PARAM", bind(town, alice, sid, {}));
    assert.equal(await found(town, alice, ALICE), undefined);
  }),
);

trial("IDS-21: without a token Sydent binds in the interface of r0, where that was chosen", () =>
  withTown({ GATEHOUSE_ID_SERVER_API: "v1" }, async (town) => {
    const alice = await user(town, "alice");
    good(await bind(town, alice, await validated(town, alice, ALICE), {}));
    assert.equal(await found(town, alice, ALICE), alice.id);
  }),
);

await runTrials();
