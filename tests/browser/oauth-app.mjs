// An app that uses the OAuth 2.0 API: it registers, opens the authorization endpoint and exchanges the code.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";

import { PASSWORD } from "../clients/gatehouse-server.mjs";

/** The setting that turns the API on. */
export const OAUTH = { GATEHOUSE_AUTH_APIS: "both" };
/** An account that exists. */
export const ALICE = { username: "alice", password: PASSWORD, auth: { type: "m.login.dummy" } };
/** The host of the websites of all apps. No request leaves this machine: the browser user answers in its place. */
export const APP_HOST = "https://app.example.org";

/** The kinds of redirect URIs. The browser opens some of them without a click. */
export const KINDS = {
  web: { application_type: "web", redirect_uri: `${APP_HOST}/callback?kept=1`, opensItself: true },
  claimed: { application_type: "native", redirect_uri: `${APP_HOST}/claimed`, opensItself: false },
  loopback: { application_type: "native", redirect_uri: "http://localhost/callback", opensItself: true },
  private: { application_type: "native", redirect_uri: "org.example.app:/callback", opensItself: false },
};

export class App {
  /** Registers an app with a redirect URI of this kind. */
  static async register(server, kind = "claimed") {
    const { application_type, redirect_uri } = KINDS[kind];
    const app = new App();
    Object.assign(app, { server, redirectUri: redirect_uri });
    const body = {
      application_type,
      client_name: "The <b>App</b>",
      client_uri: APP_HOST,
      policy_uri: `${APP_HOST}/privacy`,
      tos_uri: `${APP_HOST}/terms`,
      redirect_uris: [redirect_uri],
    };
    const { status, body: registered } = await server.request("POST", "/oauth2/registration", { body });
    assert.equal(status, 201, JSON.stringify(registered));
    app.clientId = registered.client_id;
    return app;
  }

  /** The URL of a new authorization request with these parameters in addition. */
  authorizationUrl(parameters = {}) {
    this.verifier = randomBytes(32).toString("base64url");
    this.state = randomBytes(8).toString("base64url");
    const device = `urn:matrix:client:device:${randomBytes(6).toString("hex")}`;
    const query = new URLSearchParams({
      response_type: "code",
      client_id: this.clientId,
      redirect_uri: this.redirectUri,
      scope: `urn:matrix:client:api:* ${device}`,
      state: this.state,
      code_challenge: createHash("sha256").update(this.verifier).digest("base64url"),
      code_challenge_method: "S256",
      ...parameters,
    });
    return `${this.server.url}/oauth2/authorize?${query}`;
  }

  /** The parameters in the URL that the app got back. Asserts that they belong to the last request. */
  response(url, mode = "query") {
    const { hash, search } = new URL(url);
    const parameters = new URLSearchParams(mode === "fragment" ? hash.slice(1) : search);
    assert.equal(parameters.get("state"), this.state, url);
    assert.equal(parameters.get("iss"), `${this.server.url}/`, url);
    return parameters;
  }

  /** Exchanges a code. Returns the status and the body. */
  async exchange(code) {
    const body = new URLSearchParams({
      grant_type: "authorization_code",
      client_id: this.clientId,
      redirect_uri: this.redirectUri,
      code_verifier: this.verifier,
      code,
    });
    const response = await fetch(`${this.server.url}/oauth2/token`, { method: "POST", body });
    return { status: response.status, body: await response.json() };
  }

  /** Exchanges the code in the URL that the app got back, and asserts that it is for this user. */
  async assertSignedIn(url, userId, mode) {
    const { status, body } = await this.exchange(this.response(url, mode).get("code"));
    assert.equal(status, 200, JSON.stringify(body));
    const whoami = await this.server.whoami(body.access_token);
    assert.equal(whoami.body.user_id, userId);
  }
}

/** Makes the browser user answer requests to the host of the apps. Returns the list of those requests. */
export async function answerForApps(user) {
  const requests = [];
  await user.context.route(`${APP_HOST}/**`, async (route) => {
    const request = route.request();
    if (!request.url().endsWith("/favicon.ico")) {
      requests.push({ url: request.url(), referer: (await request.allHeaders()).referer });
    }
    const body = `<!doctype html><title>App</title><link rel="icon" href="data:,"><h1>The app</h1>`;
    await route.fulfill({ contentType: "text/html", body });
  });
  return requests;
}

/** Fills in and submits the login page. */
export async function logIn(page, name = "alice") {
  await page.getByLabel("Username, e-mail address or phone number").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** Fills in and submits the first page of a sign-up. */
export async function signUp(page, name) {
  await page.getByLabel("Username").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password, again").fill(PASSWORD);
  await page.getByRole("button", { name: "Continue" }).click();
}

/** Waits for the consent page of this user. */
export async function consentPage(page, userId) {
  await page.getByRole("heading", { name: `Allow access to ${userId}?` }).waitFor();
}

/** The link of the last page. */
export const continueLink = (page) => page.locator("a#continue");
