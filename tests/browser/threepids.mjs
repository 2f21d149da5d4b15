// The fallback pages of m.login.email.identity and m.login.msisdn.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered } from "../clients/gatehouse-server.mjs";
import {
  MESSAGE_SETTINGS,
  PHONE,
  extractCode,
  extractLink,
  waitForMessage,
  wrongCode,
} from "../clients/messages.mjs";
import { test } from "../clients/test-runner.mjs";
import { HOSTILE, REFUSED } from "./hostile-input.mjs";
import { UNAUTHORIZED, assertInert, assertStageCompleted, screenshot } from "./browser-user.mjs";
import { withFixtures } from "./fixtures.mjs";

const EMAIL = "m.login.email.identity";
const MSISDN = "m.login.msisdn";
const ALICE = { username: "alice", password: PASSWORD };
const ADDRESS = "alice@example.org";
const NUMBER = `+${PHONE.msisdn}`;

const settings = (flows) => () => ({ ...MESSAGE_SETTINGS, GATEHOUSE_REGISTRATION_FLOWS: flows });

const AGAIN = "Send it again, or to another address";

/** Opens the link in the last of `count` mails in a new tab and confirms. */
async function confirm(server, user, to, count) {
  const { page } = await user.open(extractLink(await waitForMessage(server, to, count)));
  await page.getByRole("button", { name: "Yes, it was me" }).click();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  await page.close();
}

for (const prefix of PREFIXES) {
  test(`UIA-70 m.login.email.identity sends a mail and completes itself once the link is confirmed, ${prefix}`, () =>
    withFixtures(settings(EMAIL), async ({ sites, server, user }) => {
      const client = await user.openWebClient(server, sites, prefix, ALICE);
      const popup = await client.openFallback();
      const field = popup.getByLabel("E-mail address");
      await screenshot(popup, `email-${prefix}`);
      await field.fill("alice at example");
      await popup.getByRole("button", { name: "Send the mail" }).click();
      assert.equal(await field.evaluate((input) => input.validity.typeMismatch), true);
      await field.fill(ADDRESS);
      await field.press("Enter");
      await popup.getByText("We have sent a mail to a…@example.org.").waitFor();
      await screenshot(popup, `email-sent-${prefix}`);

      await popup.getByRole("button", { name: "I have opened it" }).click();
      await popup.getByRole("alert").waitFor();
      await screenshot(popup, `email-not-yet-${prefix}`);
      assert.deepEqual(await client.messages(), []);

      // The automatic reload of the page does not send another mail.
      await popup.waitForResponse((response) => response.request().method() === "GET");
      await popup.getByText("We have sent a mail to").waitFor();
      await confirm(server, user, ADDRESS, 1);
      await assertStageCompleted(popup);
      await assertRegistered(server, await client.response(1), "@alice:localhost", prefix);
      assert.deepEqual(await client.messages(), [{ data: "authDone", origin: server.url }]);
      assert.equal((await server.outbox()).length, 1);
      user.assertNoProblems(UNAUTHORIZED);
    }));

  test(`UIA-70 m.login.msisdn accepts a national phone number and the code sent to it, ${prefix}`, () =>
    withFixtures(settings(MSISDN), async ({ sites, server, user }) => {
      const client = await user.openWebClient(server, sites, prefix, ALICE);
      const popup = await client.openFallback();
      const alert = popup.getByRole("alert");
      const country = popup.getByLabel("Country");
      assert.deepEqual(await country.locator("option").allTextContents(), ["DE", "GB"]);
      const requestCode = async (number) => {
        await country.selectOption(PHONE.country);
        await popup.getByLabel("Phone number").fill(number);
        await popup.getByRole("button", { name: "Send the code" }).click();
      };
      await requestCode("12");
      await alert.waitFor();
      await screenshot(popup, `phone-wrong-${prefix}`);
      await requestCode(PHONE.phone_number);
      await popup.getByText("We have sent a code to the number that ends in 456.").waitFor();
      await screenshot(popup, `phone-sent-${prefix}`);

      const code = extractCode(await waitForMessage(server, NUMBER));
      await popup.getByLabel("Code").fill(wrongCode(code));
      await popup.getByRole("button", { name: "Continue" }).click();
      await alert.waitFor();
      await screenshot(popup, `code-wrong-${prefix}`);
      assert.deepEqual(await client.messages(), []);

      await popup.getByRole("button", { name: AGAIN }).click();
      await requestCode(PHONE.phone_number);
      const second = extractCode(await waitForMessage(server, NUMBER, 2));
      await popup.getByLabel("Code").fill(`${second.slice(0, 3)} ${second.slice(3)}`);
      await popup.getByRole("button", { name: "Continue" }).click();
      await assertStageCompleted(popup);
      await assertRegistered(server, await client.response(1), "@alice:localhost", prefix);
      assert.deepEqual(await client.messages(), [{ data: "authDone", origin: server.url }]);
      user.assertNoProblems(REFUSED);
    }));
}

test("UIA-70 after another address is entered, the link sent to the first one does not validate", () =>
  withFixtures(settings(EMAIL), async ({ sites, server, user }) => {
    const client = await user.openWebClient(server, sites, "v3", ALICE);
    const popup = await client.openFallback();
    const send = async (address) => {
      await popup.getByLabel("E-mail address").fill(address);
      await popup.getByRole("button", { name: "Send the mail" }).click();
      await popup.getByText(`We have sent a mail to ${address[0]}…@example.org.`).waitFor();
    };
    await send("elice@example.org");
    const wrong = extractLink(await waitForMessage(server, "elice@example.org"));
    await popup.getByRole("button", { name: AGAIN }).click();
    await send(ADDRESS);
    const { page } = await user.open(wrong);
    const yes = page.getByRole("button", { name: "Yes, it was me" });
    if (await yes.count()) await yes.click();
    const { session } = (await client.response(0)).body;
    assert.deepEqual((await server.register({ auth: { session } })).body.completed, []);
    await confirm(server, user, ADDRESS, 1);
    await assertStageCompleted(popup);
    await assertRegistered(server, await client.response(1), "@alice:localhost");
    user.assertNoProblems(REFUSED);
  }));

test("UIA-70 the pages of m.login.email.identity and m.login.msisdn work without JavaScript", () =>
  withFixtures(
    settings(`${EMAIL}+${MSISDN}`),
    async ({ server, user }) => {
      const { session } = (await server.register(ALICE)).body;
      const open = async (stage) => {
        const query = `session=${encodeURIComponent(session)}`;
        return (await user.open(`${server.url}/_matrix/client/r0/auth/${stage}/fallback/web?${query}`)).page;
      };
      const mail = await open(EMAIL);
      await mail.getByLabel("E-mail address").fill(ADDRESS);
      await mail.getByRole("button", { name: "Send the mail" }).click();
      await confirm(server, user, ADDRESS, 1);
      await mail.getByRole("button", { name: "I have opened it" }).click();
      await assertStageCompleted(mail);
      const text = await open(MSISDN);
      await text.getByLabel("Country").selectOption(PHONE.country);
      await text.getByLabel("Phone number").fill(PHONE.phone_number);
      await text.getByRole("button", { name: "Send the code" }).click();
      await text.getByLabel("Code").fill(extractCode(await waitForMessage(server, NUMBER)));
      await text.getByRole("button", { name: "Continue" }).click();
      await assertStageCompleted(text);
      await assertRegistered(server, await server.register({ auth: { session } }), "@alice:localhost");
    },
    { javaScriptEnabled: false },
  ));

test("UIA-74 hostile e-mail addresses, phone numbers, countries and codes are inert", () =>
  withFixtures(settings(`${EMAIL} ${MSISDN}`), async ({ server, user }) => {
    const open = async (stage) => {
      const session = encodeURIComponent((await server.register({})).body.session);
      return (
        await user.open(`${server.url}/_matrix/client/v3/auth/${stage}/fallback/web?session=${session}`)
      ).page;
    };
    /** Submits the form of a page with these fields and without the validation by the browser. */
    const send = async (page, fields) => {
      const posted = page.waitForResponse((response) => response.request().method() === "POST");
      await page.evaluate((fields) => {
        const form = document.querySelector("form");
        for (const [name, value] of Object.entries(fields)) {
          const field = form.elements.namedItem(name);
          const unrestricted = Object.assign(document.createElement("textarea"), { name, value });
          field.replaceWith(unrestricted);
        }
        form.noValidate = true;
        form.querySelector("button").click();
      }, fields);
      const response = await posted;
      await page.getByRole("alert").waitFor();
      await assertInert(page, response, response.status());
      assert.ok([400, 401, 403].includes(response.status()), `${response.status()}`);
    };
    const [mail, text] = [await open(EMAIL), await open(MSISDN)];
    for (const hostile of HOSTILE) {
      for (const email of [hostile, `${hostile}@example.org`, `a@${hostile}`]) await send(mail, { email });
      await send(text, { phone_number: hostile });
      await send(text, { country: hostile, phone_number: PHONE.phone_number });
    }
    assert.deepEqual(await server.outbox(), []);
    await text.getByLabel("Country").selectOption(PHONE.country);
    await text.getByLabel("Phone number").fill(PHONE.phone_number);
    await text.getByRole("button", { name: "Send the code" }).click();
    await text.getByLabel("Code").waitFor();
    for (const hostile of HOSTILE) await send(text, { code: hostile });
    user.assertNoProblems(REFUSED);
  }));
