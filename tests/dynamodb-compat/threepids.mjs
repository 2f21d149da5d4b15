// The addresses of somebody who has an account, past whichever services the server was given.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { PASSWORD } from "../clients/gatehouse-server.mjs";
import { extractLink, submitLinkPage } from "../clients/messages.mjs";

const ACCOUNT = "/_matrix/client/v3/account/3pid";
const SECOND = "second@example.org";

/** Lists, adds by both forms and removes, as `alice` with this token, who has `first` and a number. */
export async function accountThreepids(server, messages, token, first, { concurrent }) {
  const ask = async (method, path, body) => {
    const answer = await server.request(method, ACCOUNT + path, { body, token });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  const listed = async () =>
    (await ask("GET", "")).threepids.map(({ medium, address }) => `${medium} ${address}`).sort();

  const secret = randomUUID();
  const request = { client_secret: secret, email: SECOND, send_attempt: 1 };
  const { sid } = await ask("POST", "/email/requestToken", request);
  const link = extractLink(await messages(SECOND, 1));
  assert.equal((await submitLinkPage(link)).status, 200);
  const credentials = { sid, client_secret: secret };
  const { body: challenge } = await server.request("POST", `${ACCOUNT}/add`, { body: credentials, token });
  const identifier = { type: "m.id.user", user: "alice" };
  const auth = { type: "m.login.password", session: challenge.session, identifier, password: PASSWORD };
  const added = Array.from({ length: concurrent ? 2 : 1 }, () => ask("POST", "/add", { ...credentials, auth }));
  for (const answer of await Promise.all(added)) assert.deepEqual(answer, {});
  assert.deepEqual(await ask("POST", "", { three_pid_creds: credentials }), {});
  const all = [`email ${first}`, `email ${SECOND}`, "msisdn 447400123456"];
  assert.deepEqual(await listed(), all);
  assert.match((await messages(SECOND, 2)).text, /added/);

  const removed = { medium: "msisdn", address: "447400123456" };
  for (let times = 0; times < 2; times += 1) {
    assert.deepEqual(await ask("POST", "/delete", removed), { id_server_unbind_result: "no-support" });
  }
  assert.deepEqual(await listed(), all.slice(0, 2));
  assert.match((await messages(SECOND, 3)).text, /removed/);
}
