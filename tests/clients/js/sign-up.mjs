// matrix-js-sdk, and a sign-up with it as Element Web makes it.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { PASSWORD } from "../gatehouse-server.mjs";

// The library is written for a newer Node.js than some have.
Promise.withResolvers ??= function () {
  const parts = {};
  parts.promise = new this((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

// `createRequire` looks in NODE_PATH, `import` does not.
const require = createRequire(import.meta.url);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { AuthType, InteractiveAuth, createClient } = await load("matrix-js-sdk");
export { AuthType, createClient };
const { logger } = await load("matrix-js-sdk/lib/logger.js");
logger.setLevel("silent");

/** Registers as Element does: the parameters with every request, `auth` as the library makes it. */
export class SignUp {
  constructor(server, username, answers, options = {}) {
    this.client = createClient({ baseUrl: server.url });
    this.states = [];
    this.auths = [];
    this.failure = Promise.withResolvers();
    const parameters = {
      username,
      password: PASSWORD,
      initial_device_display_name: "js-sdk",
      refresh_token: true,
    };
    this.auth = new InteractiveAuth({
      matrixClient: this.client,
      doRequest: (auth) => {
        this.auths.push(auth);
        return this.client.registerRequest(auth === null ? parameters : { ...parameters, auth });
      },
      stateUpdated: (stage, status) => {
        this.states.push([stage, status.errcode ?? null]);
        const answer = answers[stage];
        assert.ok(answer, `nobody expected ${stage}`);
        // The library calls in the middle of its own request.
        setImmediate(() => (async () => answer(this, status))().catch(this.failure.reject));
      },
      requestEmailToken: () => assert.fail("no flow has an e-mail"),
      ...options,
    });
  }

  /** Registers, and checks with the library that the account is there. */
  async complete(userId) {
    const account = await Promise.race([this.auth.attemptAuth(), this.failure.promise]);
    assert.equal(account.user_id, userId);
    assert.equal(typeof account.device_id, "string");
    const client = createClient({ baseUrl: this.client.baseUrl, accessToken: account.access_token });
    const who = await client.whoami();
    assert.deepEqual(who, { user_id: userId, device_id: account.device_id, is_guest: false });
    return account;
  }
}
