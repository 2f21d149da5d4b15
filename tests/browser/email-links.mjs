// The link in a validation mail: its page, and the pages after its buttons.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { PASSWORD, PREFIXES, assertRegistered } from "../clients/gatehouse-server.mjs";
import { MESSAGE_SETTINGS, extractLink, waitForMessage } from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { HOSTILE, REFUSED } from "./hostile-input.mjs";
import { assertInert, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";

const EMAIL = "m.login.email.identity";
const ALICE = { username: "alice", password: PASSWORD };
const ADDRESS = "alice@example.org";

/** Enables mail and allows a `next_link` to the external sites. */
const settings = (sites) => ({
  ...MESSAGE_SETTINGS,
  GATEHOUSE_REGISTRATION_FLOWS: EMAIL,
  GATEHOUSE_NEXT_LINK_HOSTS: `localhost:${sites.port}`,
});

/** A request for a validation mail, made by a client that registers with the e-mail address. */
class ValidationRequest {
  secret = randomUUID();

  constructor(server, prefix = "v3") {
    Object.assign(this, { server, prefix });
  }

  send(next_link) {
    const body = { email: ADDRESS, client_secret: this.secret, send_attempt: 1, next_link };
    return this.server.request("POST", `/_matrix/client/${this.prefix}/register/email/requestToken`, {
      body,
    });
  }

  /** Sends the request and returns the link in the mail. */
  async link(next_link) {
    const { status, body } = await this.send(next_link);
    assert.equal(status, 200, JSON.stringify(body));
    this.sid = body.sid;
    return extractLink(await waitForMessage(this.server, ADDRESS));
  }

  /** Sends a registration request with the validation session. */
  async register() {
    const threepid_creds = { sid: this.sid, client_secret: this.secret };
    const { session } = (await this.server.register(ALICE, this.prefix)).body;
    return this.server.register({ ...ALICE, auth: { type: EMAIL, session, threepid_creds } }, this.prefix);
  }

  async assertNotValidated() {
    const { status, body } = await this.register();
    assert.deepEqual([status, body.errcode], [401, "M_UNAUTHORIZED"]);
  }
}

for (const prefix of PREFIXES) {
  test(`3PID-52 opening the link of a mail does not validate, its button does and leads to next_link, ${prefix}`, () =>
    withFixtures(settings, async ({ sites, server, user }) => {
      const request = new ValidationRequest(server, prefix);
      const nextLink = `${sites.url}/policy/next#/register?client_secret=${request.secret}&session_id=s`;
      const link = await request.link(nextLink);
      // Mail scanners and link previews also request the link.
      assert.equal((await fetch(link, { method: "HEAD" })).status, 200);
      for (let count = 0; count < 3; count += 1) assert.equal((await fetch(link)).status, 200);
      const { page, response } = await user.open(link);
      await assertInert(page, response, 200);
      await page.reload();
      await request.assertNotValidated();
      await page.getByRole("heading", { name: "localhost" }).waitFor();
      await page.getByText("is creating an account on localhost").waitFor();
      await page.getByText("only if it is you and you have just requested this").waitFor();
      assert.ok(!(await page.content()).includes(request.secret), "the page contains the client_secret");
      await screenshot(page, `link-${prefix}`);

      await page.getByRole("button", { name: "Yes, it was me" }).click();
      await page.waitForURL(`${nextLink}&sid=${request.sid}`);
      await page.getByRole("heading", { name: "/policy/next" }).waitFor();
      assert.ok(
        sites.referrers.every((referrer) => !referrer.includes("token")),
        "a Referer header contains the token of the link",
      );
      await assertRegistered(server, await request.register(), "@alice:localhost", prefix);
      user.assertNoProblems();
    }));
}

test("3PID-31 without a next_link to a host in GATEHOUSE_NEXT_LINK_HOSTS, the page shows a confirmation", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    for (const next of [undefined, `http://127.0.0.1:${sites.port}/policy/next`]) {
      const request = new ValidationRequest(server);
      const { page } = await user.open(await request.link(next));
      await page.getByRole("button", { name: "Yes, it was me" }).click();
      await page.getByRole("heading", { name: "Thank you" }).waitFor();
      assert.match(page.url(), new RegExp(`^${server.url}/`));
      await screenshot(page, "link-confirmed");
      await page.close();
      await fetch(`${server.url}/_local/outbox`, { method: "DELETE" });
    }
    user.assertNoProblems();
  }));

test("3PID-52 “It was not me” invalidates the link and the validation session", () =>
  withFixtures(settings, async ({ server, user }) => {
    const request = new ValidationRequest(server);
    const link = await request.link();
    const { page } = await user.open(link);
    await page.getByRole("button", { name: "It was not me" }).click();
    await page.getByRole("heading", { name: "Report received" }).waitFor();
    await screenshot(page, "link-refused");
    const again = await page.goto(link);
    await assertInert(page, again, 400);
    await page.getByRole("heading", { name: "This link or code does not work" }).waitFor();
    await request.assertNotValidated();
    user.assertNoProblems(REFUSED);
  }));

test("HTTP-28 wrong, truncated, used and expired links all show the same error page", () =>
  withFixtures(settings, async ({ server, user }) => {
    const request = new ValidationRequest(server);
    const link = await request.link();
    const contents = new Set();
    const assertLinkRejected = async (url) => {
      const { page, response } = await user.open(url);
      await assertInert(page, response, 400);
      await page.getByRole("heading", { name: "This link or code does not work" }).waitFor();
      contents.add(await page.content());
      await screenshot(page, "link-dead");
      await page.close();
    };
    const changed = (name, change) => {
      const url = new URL(link);
      const value = change(url.searchParams.get(name));
      if (value === null) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
      return url.href;
    };
    for (const name of ["sid", "token"]) {
      for (const change of [() => null, () => "", (value) => `${value}x`, (value) => value.slice(0, -4)]) {
        await assertLinkRejected(changed(name, change));
      }
    }
    // The page is opened before the link expires, its button is pressed afterwards.
    const { page } = await user.open(link);
    await server.advance(25 * 60 * 60);
    await page.getByRole("button", { name: "Yes, it was me" }).click();
    await page.getByRole("heading", { name: "This link or code does not work" }).waitFor();
    await assertLinkRejected(link);
    await request.assertNotValidated();
    assert.equal(contents.size, 1);
    user.assertNoProblems(REFUSED);
  }));

test("3PID-52 hostile query parameters of a link are inert", () =>
  withFixtures(settings, async ({ server, user }) => {
    const link = new URL(await new ValidationRequest(server).link());
    const page = await user.context.newPage();
    for (const text of HOSTILE) {
      for (const name of ["sid", "token", "client_secret", text]) {
        const url = new URL(link);
        url.searchParams.set(name, text);
        // Unknown query parameters are ignored.
        await assertInert(page, await page.goto(url.href), name === text ? 200 : 400);
      }
    }
    user.assertNoProblems(REFUSED);
  }));

test("3PID-31 a hostile next_link is rejected, ignored, or followed to an allowed host only", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    const host = `localhost:${sites.port}`;
    const links = HOSTILE.flatMap((text) => [
      text,
      `http://${host}${text}`,
      `http://${host}/policy/x#${text}`,
    ]);
    links.push(
      `http://${host}@127.0.0.1/`,
      `http://${host}\\@127.0.0.1/`,
      `//${host}/`,
      `http://${host}:80/`,
    );
    links.push(`http://${host}; script-src *`, `http://${host};form-action%20*`, "data:text/html,x");
    const outcomes = { rejected: 0, ignored: 0, followed: 0 };
    for (const next of links) {
      const request = new ValidationRequest(server);
      if ((await request.send(next)).status === 400) {
        outcomes.rejected += 1;
        continue;
      }
      const { page, response } = await user.open(extractLink(await waitForMessage(server, ADDRESS)));
      await assertInert(page, response, 200);
      const policy = response.headers()["content-security-policy"];
      const formAction = policy
        .split(";")
        .find((directive) => directive.includes("form-action"))
        .trim();
      assert.ok(["form-action 'self'", `form-action 'self' http://${host}`].includes(formAction), policy);
      assert.doesNotMatch(policy, /script-src/);
      await page.getByRole("button", { name: "Yes, it was me" }).click();
      await page.waitForURL((url) => !url.pathname.endsWith("/submitToken"));
      const { origin } = new URL(page.url());
      assert.ok([server.url, sites.url].includes(origin), origin);
      outcomes[origin === server.url ? "ignored" : "followed"] += 1;
      assert.equal(await page.evaluate(() => window.wasHacked), undefined);
      await page.close();
      await fetch(`${server.url}/_local/outbox`, { method: "DELETE" });
    }
    for (const [outcome, count] of Object.entries(outcomes)) assert.ok(count > 0, outcome);
    user.assertNoProblems();
  }));

test("UIA-76 another site cannot frame the page of a link", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    const link = await new ValidationRequest(server).link();
    const { page } = await user.open(`${sites.url}/frame?url=${encodeURIComponent(link)}`);
    await page.waitForLoadState("networkidle");
    const frames = page.frames().filter((frame) => frame !== page.mainFrame());
    assert.ok(frames.length >= 1);
    for (const frame of frames) assert.equal(frame.url(), "chrome-error://chromewebdata/");
    user.assertNoProblems(/^console: .*(frame-ancestors|X-Frame-Options|ERR_BLOCKED_BY_RESPONSE)/);
  }));
