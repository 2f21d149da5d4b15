// The part of the scenario that changes an account's 3PIDs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { extractLink, submitLinkPage } from "../clients/messages.mjs";

const ACCOUNT = "/_matrix/client/v3/account/3pid";
const SECOND = "second@example.org";

/** Lists the 3PIDs of `alice`, adds one through both endpoints and removes one. She has the address `first` and a number. */
export async function accountThreepids(server, messages, token, first, { concurrent }) {
  const request = async (method, path, body) => {
    const response = await server.request(method, ACCOUNT + path, { body, token });
    assert.equal(response.status, 200, JSON.stringify(response.body));
    return response.body;
  };
  const listed = async () =>
    (await request("GET", "")).threepids.map(({ medium, address }) => `${medium} ${address}`).sort();

  const secret = randomUUID();
  const tokenRequest = { client_secret: secret, email: SECOND, send_attempt: 1 };
  const { sid } = await request("POST", "/email/requestToken", tokenRequest);
  const link = extractLink(await messages(SECOND, 1));
  assert.equal((await submitLinkPage(link)).status, 200);
  const credentials = { sid, client_secret: secret };
  const { body: challenge } = await server.request("POST", `${ACCOUNT}/add`, { body: credentials, token });
  const identifier = { type: "m.id.user", user: "alice" };
  const auth = { type: "m.login.password", session: challenge.session, identifier, password: PASSWORD };
  const added = Array.from({ length: concurrent ? 2 : 1 }, () =>
    request("POST", "/add", { ...credentials, auth }),
  );
  for (const body of await Promise.all(added)) assert.deepEqual(body, {});
  assert.deepEqual(await request("POST", "", { three_pid_creds: credentials }), {});
  const all = [`email ${first}`, `email ${SECOND}`, "msisdn 447400123456"];
  assert.deepEqual(await listed(), all);
  assert.match((await messages(SECOND, 2)).text, /added/);

  const removed = { medium: "msisdn", address: "447400123456" };
  for (let count = 0; count < 2; count += 1) {
    assert.deepEqual(await request("POST", "/delete", removed), { id_server_unbind_result: "no-support" });
  }
  assert.deepEqual(await listed(), all.slice(0, 2));
  assert.match((await messages(SECOND, 3)).text, /removed/);
}
