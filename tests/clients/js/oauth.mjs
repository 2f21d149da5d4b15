// matrix-js-sdk signs up, refreshes and logs out by the OAuth 2.0 API, in the same way as Element Web does.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";

import { PASSWORD } from "../gatehouse-server.mjs";
import { extractLink, submitLinkPage, waitForMessage } from "../messages.mjs";
import { PageDriver } from "../page-driver.mjs";
import { recordSteps } from "../steps.mjs";
import { test } from "../test-runner.mjs";
import { OAuth2, SDK, SignUp, createClient, withServer } from "./sign-up.mjs";

/** The metadata of Element Web at this origin, and its redirect URI. */
const ELEMENT = {
  client_name: "Element",
  client_uri: "https://app.element.io/",
  redirect_uris: ["https://app.element.io/?no_universal_links=true"],
  logo_uri: "https://app.element.io/vector-icons/1024.png",
  tos_uri: "https://element.io/terms-of-service",
  policy_uri: "https://element.io/privacy",
  application_type: "web",
  contacts: ["support@element.io"],
};
const [REDIRECT_URI] = ELEMENT.redirect_uris;

/** One authorization: the state of the client between the request and the response. */
class Authorization {
  state = randomUUID();

  static async begin(server) {
    const self = new Authorization();
    self.metadata = await createClient({ baseUrl: server.url }).getAuthMetadata();
    const clientId = await OAuth2.registerClient(self.metadata, ELEMENT);
    self.oauth = new OAuth2(self.metadata, { clientId });
    self.pages = new PageDriver();
    return self;
  }

  /** Opens the authorization URL. */
  async open(prompt) {
    const { oauth, state } = this;
    await this.pages.open(
      await oauth.generateAuthorizationCodeGrantUrl(state, REDIRECT_URI, "fragment", prompt),
    );
  }

  /** The parameters in the fragment of the link to Element Web. */
  response() {
    const url = this.pages.response();
    const parameters = new URLSearchParams(url.hash.slice(1));
    url.hash = "";
    assert.equal(url.href, REDIRECT_URI, "OA-41");
    assert.equal(parameters.get("state"), this.state, "OA-46");
    assert.equal(parameters.get("iss"), this.metadata.issuer, "OA-46");
    return parameters;
  }

  /** Consents, exchanges the code and returns the tokens. */
  async finish() {
    await this.pages.submit({ action: "allow" });
    const tokens = await this.oauth.completeAuthorizationCodeGrant(this.response().get("code"), REDIRECT_URI);
    assert.equal(tokens.token_type, "Bearer");
    assert.equal(typeof tokens.refresh_token, "string");
    assert.ok(Number.isInteger(tokens.expires_in), "OA-86");
    return tokens;
  }

  /** Completes the first page of a sign-up and follows the link to the first stage of a flow. */
  async beginSignUp(username, flow) {
    await this.pages.submit({ username, password: PASSWORD, password_again: PASSWORD });
    await this.pages.follow(flow);
  }

  async signUp(username) {
    await this.open("create");
    await this.beginSignUp(username, "Without further data");
    await this.pages.submit({});
    return this.finish();
  }

  async logIn(user) {
    await this.open();
    await this.pages.submit({ user, password: PASSWORD });
    return this.finish();
  }

  /** The client of a session, which Element Web makes from the tokens. */
  client(server, { access_token: accessToken, refresh_token: refreshToken }, onTokenRefresh = () => {}) {
    const { clientId: oauthClientId, deviceId } = this.oauth.context;
    return createClient({
      baseUrl: server.url,
      accessToken,
      refreshToken,
      onTokenRefresh,
      oauthClientId,
      deviceId,
    });
  }
}

const UNKNOWN_TOKEN = { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 };

test("OA-85 a client signs up with prompt=create, refreshes an expired token and logs out", () =>
  withServer({}, (server) =>
    recordSteps(SDK, "OAuth 2.0", async (done) => {
      const authorization = await Authorization.begin(server);
      assert.ok(authorization.metadata.prompt_values_supported.includes("create"), "OA-03");
      const tokens = await authorization.signUp("alice");
      const refreshed = [];
      const client = authorization.client(server, tokens, (pair) => refreshed.push(pair));
      const expected = {
        user_id: "@alice:localhost",
        device_id: authorization.oauth.context.deviceId,
        is_guest: false,
      };
      assert.deepEqual(await client.whoami(), expected);
      done("signed up");

      await server.advance(tokens.expires_in + 1);
      assert.deepEqual(await client.whoami(), expected, "after a refresh");
      assert.equal(refreshed.length, 1);
      assert.notEqual(client.getAccessToken(), tokens.access_token);
      assert.notEqual(client.getRefreshToken(), tokens.refresh_token);
      done("refreshed");

      await client.logout();
      const revoked = createClient({ baseUrl: server.url, accessToken: client.getAccessToken() });
      await assert.rejects(revoked.whoami(), UNKNOWN_TOKEN);
      done("logged out");
    }),
  ));

test("OA-46 OAuth2 logs in to an account of the account API, and access_denied follows a refusal", () =>
  withServer({}, async (server) => {
    await new SignUp(server, "bob", {}).complete("@bob:localhost");
    const authorization = await Authorization.begin(server);
    const client = authorization.client(server, await authorization.logIn("bob"));
    assert.equal((await client.whoami()).user_id, "@bob:localhost");

    const refused = await Authorization.begin(server);
    await refused.open();
    await refused.pages.submit({ user: "bob", password: PASSWORD });
    await refused.pages.submit({ action: "cancel" });
    const response = refused.response();
    assert.deepEqual([response.get("error"), response.get("code")], ["access_denied", null]);
  }));

test("OA-43 the login page of an authorization without a prompt leads to a sign-up by e-mail", () =>
  withServer({}, async (server) => {
    const authorization = await Authorization.begin(server);
    await authorization.open();
    await authorization.pages.follow("Create an account");
    await authorization.beginSignUp("carol", "With an e-mail address");
    await authorization.pages.submit({ email: "carol@example.org" });
    await submitLinkPage(extractLink(await waitForMessage(server, "carol@example.org")));
    await authorization.pages.submit({ action: "check" });
    const client = authorization.client(server, await authorization.finish());
    assert.equal((await client.whoami()).user_id, "@carol:localhost");
  }));

test("OA-78 completeAuthorizationCodeGrant fails for a used code, and the session of the first use ends", () =>
  withServer({}, async (server) => {
    const authorization = await Authorization.begin(server);
    const tokens = await authorization.signUp("dave");
    const code = authorization.response().get("code");
    const again = authorization.oauth.completeAuthorizationCodeGrant(code, REDIRECT_URI);
    await assert.rejects(again, { error: "invalid_grant", httpStatus: 400 });
    const client = createClient({ baseUrl: server.url, accessToken: tokens.access_token });
    await assert.rejects(client.whoami(), UNKNOWN_TOKEN);
  }));

test("OA-100 the client logs itself out when its session has ended", () =>
  withServer({}, async (server) => {
    const authorization = await Authorization.begin(server);
    const tokens = await authorization.signUp("erin");
    const client = authorization.client(server, tokens);
    await authorization.oauth.revokeToken(tokens.refresh_token, "refresh_token");
    const loggedOut = once(client, "Session.logged_out");
    await assert.rejects(client.whoami(), UNKNOWN_TOKEN);
    const [error] = await loggedOut;
    assert.equal(error.errcode, "M_UNKNOWN_TOKEN");
  }));

test("OA-148 the refresh token of an account of the account API does not work at the token endpoint", () =>
  withServer({}, async (server) => {
    const account = await new SignUp(server, "frank", {}).complete("@frank:localhost");
    const { oauth } = await Authorization.begin(server);
    const refreshed = oauth.performRefreshTokenGrant(account.refresh_token);
    await assert.rejects(refreshed, { error: "invalid_grant", httpStatus: 400 });
    const client = createClient({ baseUrl: server.url });
    const pair = await client.refreshToken(account.refresh_token);
    assert.equal(typeof pair.access_token, "string", "the refused request has not used the token");
  }));
