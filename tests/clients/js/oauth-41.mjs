// matrix-js-sdk 41.9 signs up, refreshes and logs out by the OAuth 2.0 API. Its code for this API is oidc-client-ts.
// It runs in a process of its own, because a process can load only one version of the library.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { PASSWORD, withServer } from "../gatehouse-server.mjs";
import { PageDriver } from "../page-driver.mjs";
import { recordSteps } from "../steps.mjs";
import { runTests, test } from "../test-runner.mjs";

const ORIGIN = "https://app.element.io";
const REDIRECT_URI = `${ORIGIN}/?no_universal_links=true`;

const items = new Map();
/** The storage of a browser, as far as the library uses it. */
const storage = {
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => items.set(key, value),
  removeItem: (key) => items.delete(key),
  key: (index) => [...items.keys()][index] ?? null,
  get length() {
    return items.size;
  },
};
globalThis.localStorage = storage;
globalThis.window = { crypto: globalThis.crypto, location: { origin: ORIGIN }, sessionStorage: storage };

const require = createRequire(import.meta.url);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const sdk = await load("matrix-js-sdk-41");
const { logger } = await load("matrix-js-sdk-41/lib/logger.js");
logger.setLevel("silent");

/** Signs up on the pages and returns what the library makes of the response. */
async function signUp(metadata, clientId, server, username) {
  const url = await sdk.generateOidcAuthorizationUrl({
    metadata,
    clientId,
    redirectUri: REDIRECT_URI,
    homeserverUrl: server.url,
    nonce: "nonce",
    prompt: "create",
    responseMode: "query",
  });
  const pages = new PageDriver();
  await pages.open(url);
  await pages.submit({ username, password: PASSWORD, password_again: PASSWORD });
  await pages.follow("Without further data");
  await pages.submit({});
  await pages.submit({ action: "allow" });
  const response = pages.response().searchParams;
  assert.equal(response.get("no_universal_links"), "true", "OA-40: the query of the redirect URI is kept");
  return sdk.completeAuthorizationCodeGrant(response.get("code"), response.get("state"));
}

test("OA-82 a client without ID tokens signs up with the scope openid, refreshes an expired token and logs out", () =>
  withServer({ GATEHOUSE_AUTH_APIS: "both" }, (server) =>
    recordSteps(
      `matrix-js-sdk ${require("matrix-js-sdk-41/package.json").version}`,
      "OAuth 2.0",
      async (done) => {
        const metadata = await sdk.createClient({ baseUrl: server.url }).getAuthMetadata();
        const clientId = await sdk.registerOidcClient(metadata, {
          clientName: "Element",
          clientUri: `${ORIGIN}/`,
          redirectUris: [REDIRECT_URI],
          applicationType: "web",
          contacts: ["support@element.io"],
          tosUri: `${ORIGIN}/terms`,
          policyUri: `${ORIGIN}/privacy`,
        });
        const { tokenResponse, idTokenClaims } = await signUp(metadata, clientId, server, "alice");
        assert.equal(tokenResponse.id_token, undefined);
        assert.doesNotMatch(tokenResponse.scope, /openid/, "OA-38");
        const [, deviceId] = tokenResponse.scope.match(/device:(\S+)/);
        const refresher = new sdk.OidcTokenRefresher(
          metadata.issuer,
          clientId,
          REDIRECT_URI,
          deviceId,
          idTokenClaims,
        );
        const client = sdk.createClient({
          baseUrl: server.url,
          accessToken: tokenResponse.access_token,
          refreshToken: tokenResponse.refresh_token,
          tokenRefreshFunction: (token) => refresher.doRefreshAccessToken(token),
        });
        const expected = { user_id: "@alice:localhost", device_id: deviceId, is_guest: false };
        assert.deepEqual(await client.whoami(), expected);
        done("signed up");

        await server.advance(3600);
        assert.deepEqual(await client.whoami(), expected, "after a refresh");
        assert.notEqual(client.getAccessToken(), tokenResponse.access_token);
        done("refreshed");

        // Element Web revokes the tokens itself.
        const revoke = {
          token: client.getAccessToken(),
          token_type_hint: "access_token",
          client_id: clientId,
        };
        const body = new URLSearchParams(revoke);
        const revoked = await fetch(metadata.revocation_endpoint, { method: "POST", body });
        assert.equal(revoked.status, 200);
        await assert.rejects(client.whoami(), { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 });
        done("logged out");
      },
    ),
  ));

await runTests();
// Timers of the library would keep the process alive.
process.exit();
