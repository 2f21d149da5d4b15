// The link in a mail: the page it leads to, and where that page's buttons lead.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { PASSWORD, PREFIXES, assertRegistered, test } from "../clients/gatehouse-server.mjs";
import { MESSAGE_SETTINGS, extractLink, waitForMessage } from "../clients/messages.mjs";
import { HOSTILE, REFUSED } from "./hostile-input.mjs";
import { assertInert, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./stages.mjs";

const EMAIL = "m.login.email.identity";
const ALICE = { username: "alice", password: PASSWORD };
const ADDRESS = "alice@example.org";

/** A server that sends mail, and whose links may lead to the sites in the end. */
const settings = (sites) => ({
  ...MESSAGE_SETTINGS,
  GATEHOUSE_REGISTRATION_FLOWS: EMAIL,
  GATEHOUSE_NEXT_LINK_HOSTS: `localhost:${sites.port}`,
});

/** Asks for a mail as a client does that makes an account with it. */
class Request {
  secret = randomUUID();

  constructor(server, prefix = "v3") {
    Object.assign(this, { server, prefix });
  }

  ask(next_link) {
    const body = { email: ADDRESS, client_secret: this.secret, send_attempt: 1, next_link };
    return this.server.request("POST", `/_matrix/client/${this.prefix}/register/email/requestToken`, { body });
  }

  /** The link in the mail. */
  async link(next_link) {
    const { status, body } = await this.ask(next_link);
    assert.equal(status, 200, JSON.stringify(body));
    this.sid = body.sid;
    return extractLink(await waitForMessage(this.server, ADDRESS));
  }

  /** Tries to sign up with it. */
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
  test(
    `3PID-52 looking at a mail's link proves nothing, its button does and leads to next_link, ${prefix}`,
    () =>
      withFixtures(settings, async ({ sites, server, user }) => {
        const request = new Request(server, prefix);
        const nextLink = `${sites.url}/policy/next#/register?client_secret=${request.secret}&session_id=s`;
        const link = await request.link(nextLink);
        // What scanners, previews and impatient people do.
        assert.equal((await fetch(link, { method: "HEAD" })).status, 405);
        for (let looked = 0; looked < 3; looked += 1) assert.equal((await fetch(link)).status, 200);
        const { page, response } = await user.open(link);
        await assertInert(page, response, 200);
        await page.reload();
        await request.assertNotValidated();
        await page.getByRole("heading", { name: "localhost" }).waitFor();
        await page.getByText("Somebody is creating an account on localhost").waitFor();
        await page.getByText("only if it is you and you asked for it just now").waitFor();
        assert.ok(!(await page.content()).includes(request.secret), "the client's secret is not in the page");
        await screenshot(page, `link-${prefix}`);

        await page.getByRole("button", { name: "Yes, it was me" }).click();
        await page.waitForURL(`${nextLink}&sid=${request.sid}`);
        await page.getByRole("heading", { name: "/policy/next" }).waitFor();
        assert.ok(
          sites.referrers.every((referrer) => !referrer.includes("token")),
          "the link is told to nobody",
        );
        await assertRegistered(server, await request.register(), "@alice:localhost", prefix);
        user.assertNoProblems();
      }),
  );
}

test("3PID-31 without a next_link, or with one to a host that nobody named, the page thanks and stays", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    for (const next of [undefined, `http://127.0.0.1:${sites.port}/policy/next`]) {
      const request = new Request(server);
      const { page } = await user.open(await request.link(next));
      await page.getByRole("button", { name: "Yes, it was me" }).click();
      await page.getByRole("heading", { name: "Thank you" }).waitFor();
      assert.match(page.url(), new RegExp(`^${server.url}/`));
      await screenshot(page, "link-confirmed");
      await page.close();
      await fetch(`${server.url}/_local/outbox`, { method: "DELETE" });
    }
    user.assertNoProblems();
  }),
);

test("3PID-52 “It was not me” ends the link, and what was asked for with it", () =>
  withFixtures(settings, async ({ server, user }) => {
    const request = new Request(server);
    const link = await request.link();
    const { page } = await user.open(link);
    await page.getByRole("button", { name: "It was not me" }).click();
    await page.getByRole("heading", { name: "Good that you said so" }).waitFor();
    await screenshot(page, "link-refused");
    const again = await page.goto(link);
    await assertInert(page, again, 400);
    await page.getByRole("heading", { name: "That does not work" }).waitFor();
    await request.assertNotValidated();
    user.assertNoProblems(REFUSED);
  }),
);

test(
  "HTTP-28 a link that is wrong, cut short, used up or too old says so, and which it is does not show",
  () =>
    withFixtures(settings, async ({ server, user }) => {
      const request = new Request(server);
      const link = await request.link();
      const shown = new Set();
      const assertLinkRejected = async (url) => {
        const { page, response } = await user.open(url);
        await assertInert(page, response, 400);
        await page.getByRole("heading", { name: "That does not work" }).waitFor();
        shown.add(await page.content());
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
      // The page was opened in time, its button was not pressed in time.
      const { page } = await user.open(link);
      await server.advance(25 * 60 * 60);
      await page.getByRole("button", { name: "Yes, it was me" }).click();
      await page.getByRole("heading", { name: "That does not work" }).waitFor();
      await assertLinkRejected(link);
      await request.assertNotValidated();
      assert.equal(shown.size, 1);
      user.assertNoProblems(REFUSED);
    }),
);

test("3PID-52 hostile parts of a link are inert", () =>
  withFixtures(settings, async ({ server, user }) => {
    const link = new URL(await new Request(server).link());
    const page = await user.context.newPage();
    for (const text of HOSTILE) {
      for (const name of ["sid", "token", "client_secret", text]) {
        const url = new URL(link);
        url.searchParams.set(name, text);
        // Of a member that nobody knows nothing is read.
        await assertInert(page, await page.goto(url.href), name === text ? 200 : 400);
      }
    }
    user.assertNoProblems(REFUSED);
  }),
);

test(
  "3PID-31 a hostile next_link is refused, forgotten, or followed to a host that was named and no further",
  () =>
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
      const outcomes = { refused: 0, stayed: 0, followed: 0 };
      for (const next of links) {
        const request = new Request(server);
        if ((await request.ask(next)).status === 400) {
          outcomes.refused += 1;
          continue;
        }
        const { page, response } = await user.open(extractLink(await waitForMessage(server, ADDRESS)));
        await assertInert(page, response, 200);
        const policy = response.headers()["content-security-policy"];
        const forms = policy
          .split(";")
          .find((directive) => directive.includes("form-action"))
          .trim();
        assert.ok(["form-action 'self'", `form-action 'self' http://${host}`].includes(forms), policy);
        assert.doesNotMatch(policy, /script-src/);
        await page.getByRole("button", { name: "Yes, it was me" }).click();
        await page.waitForURL((url) => !url.pathname.endsWith("/submitToken"));
        const { origin } = new URL(page.url());
        assert.ok([server.url, sites.url].includes(origin), origin);
        outcomes[origin === server.url ? "stayed" : "followed"] += 1;
        assert.equal(await page.evaluate(() => window.wasHacked), undefined);
        await page.close();
        await fetch(`${server.url}/_local/outbox`, { method: "DELETE" });
      }
      for (const [outcome, count] of Object.entries(outcomes)) assert.ok(count > 0, outcome);
      user.assertNoProblems();
    }),
);

test("UIA-76 the page of a link cannot be framed by another site", () =>
  withFixtures(settings, async ({ sites, server, user }) => {
    const link = await new Request(server).link();
    const { page } = await user.open(`${sites.url}/frame?url=${encodeURIComponent(link)}`);
    await page.waitForLoadState("networkidle");
    const frames = page.frames().filter((frame) => frame !== page.mainFrame());
    assert.ok(frames.length >= 1);
    for (const frame of frames) assert.equal(frame.url(), "chrome-error://chromewebdata/");
    user.assertNoProblems(/^console: .*(frame-ancestors|X-Frame-Options|ERR_BLOCKED_BY_RESPONSE)/);
  }),
);
