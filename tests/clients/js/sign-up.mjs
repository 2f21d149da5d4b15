// A registration with matrix-js-sdk, made in the same way as Element Web does.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { PASSWORD, withServer as withServerOf } from "../gatehouse-server.mjs";

// matrix-js-sdk needs this function, which Node.js has from version 22 on.
Promise.withResolvers ??= function () {
  const result = {};
  result.promise = new this((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
};

// `require` searches NODE_PATH, `import` does not.
const require = createRequire(import.meta.url);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { AuthType, InteractiveAuth, OAuth2, createClient } = await load("matrix-js-sdk");
export { AuthType, OAuth2, createClient };
const { logger } = await load("matrix-js-sdk/lib/logger.js");
logger.setLevel("silent");

/** The name and the version of the library. */
export const SDK = `matrix-js-sdk ${require("matrix-js-sdk/package.json").version}`;

/** Starts a server that offers both APIs. */
export const withServer = (settings, use) => withServerOf({ GATEHOUSE_AUTH_APIS: "both", ...settings }, use);

/** Registers as Element Web does: sends all parameters with every request, and `auth` as `InteractiveAuth` builds it. */
export class SignUp {
  constructor(server, username, stageHandlers, options = {}) {
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
        const handler = stageHandlers[stage];
        assert.ok(handler, `unexpected stage ${stage}`);
        // `InteractiveAuth` calls this function before its own request has finished.
        setImmediate(() => (async () => handler(this, status))().catch(this.failure.reject));
      },
      requestEmailToken: () => assert.fail("this flow has no m.login.email.identity stage"),
      ...options,
    });
  }

  /** Completes the registration and asserts that `whoami` reports the new account. */
  async complete(userId) {
    const account = await Promise.race([this.auth.attemptAuth(), this.failure.promise]);
    assert.equal(account.user_id, userId);
    assert.equal(typeof account.device_id, "string");
    const client = createClient({ baseUrl: this.client.baseUrl, accessToken: account.access_token });
    assert.deepEqual(await client.whoami(), {
      user_id: userId,
      device_id: account.device_id,
      is_guest: false,
    });
    return account;
  }
}
