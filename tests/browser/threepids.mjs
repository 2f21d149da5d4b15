// The fallback pages of the stages for an address and a number.

import assert from "node:assert/strict";

import { PASSWORD, PREFIXES, assertRegistered, trial } from "../clients/gatehouse-server.mjs";
import { PHONE, POST, codeIn, linkIn, message, otherThan } from "../clients/messages.mjs";
import { HOSTILE, REFUSED } from "./hostile-input.mjs";
import { UNAUTHORIZED, assertInert, assertThanked, picture } from "./browser-user.mjs";
import { scene } from "./stages.mjs";

const EMAIL = "m.login.email.identity";
const MSISDN = "m.login.msisdn";
const ALICE = { username: "alice", password: PASSWORD };
const ADDRESS = "alice@example.org";
const NUMBER = `+${PHONE.msisdn}`;

const settings = (flows) => () => ({ ...POST, GATEHOUSE_REGISTRATION_FLOWS: flows });

const AGAIN = "Send it again, or to another address";

/** Opens the link in the last of `count` mails, in a tab of its own, and confirms. */
async function confirm(house, person, to, count) {
  const { page } = await person.open(linkIn(await message(house, to, count)));
  await page.getByRole("button", { name: "Yes, it was me" }).click();
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  await page.close();
}

for (const prefix of PREFIXES) {
  trial(
    `UIA-70 m.login.email.identity sends a mail, waits for its link and goes on by itself, ${prefix}`,
    () =>
      scene(settings(EMAIL), async ({ town, house, person }) => {
        const app = await person.openApp(house, town, prefix, ALICE);
        const popup = await app.openFallback();
        const field = popup.getByLabel("E-mail address");
        await picture(popup, `email-${prefix}`);
        await field.fill("alice at example");
        await popup.getByRole("button", { name: "Send the mail" }).click();
        assert.equal(await field.evaluate((input) => input.validity.typeMismatch), true);
        await field.fill(ADDRESS);
        await field.press("Enter");
        await popup.getByText("We have sent a mail to a…@example.org.").waitFor();
        await picture(popup, `email-sent-${prefix}`);

        await popup.getByRole("button", { name: "I have opened it" }).click();
        await popup.getByRole("alert").waitFor();
        await picture(popup, `email-not-yet-${prefix}`);
        assert.deepEqual(await app.messages(), []);

        // Looking again by itself sends nothing again.
        await popup.waitForResponse((response) => response.request().method() === "GET");
        await popup.getByText("We have sent a mail to").waitFor();
        await confirm(house, person, ADDRESS, 1);
        await assertThanked(popup);
        await assertRegistered(house, await app.answer(1), "@alice:localhost", prefix);
        assert.deepEqual(await app.messages(), [{ data: "authDone", origin: house.url }]);
        assert.equal((await house.outbox()).length, 1);
        person.assertQuiet(UNAUTHORIZED);
      }),
  );

  trial(`UIA-70 m.login.msisdn takes a number of a country and the code that was sent to it, ${prefix}`, () =>
    scene(settings(MSISDN), async ({ town, house, person }) => {
      const app = await person.openApp(house, town, prefix, ALICE);
      const popup = await app.openFallback();
      const alert = popup.getByRole("alert");
      const country = popup.getByLabel("Country");
      assert.deepEqual(await country.locator("option").allTextContents(), ["DE", "GB"]);
      const ask = async (number) => {
        await country.selectOption(PHONE.country);
        await popup.getByLabel("Phone number").fill(number);
        await popup.getByRole("button", { name: "Send the code" }).click();
      };
      await ask("12");
      await alert.waitFor();
      await picture(popup, `phone-wrong-${prefix}`);
      await ask(PHONE.phone_number);
      await popup.getByText("We have sent a code to the number that ends in 456.").waitFor();
      await picture(popup, `phone-sent-${prefix}`);

      const code = codeIn(await message(house, NUMBER));
      await popup.getByLabel("Code").fill(otherThan(code));
      await popup.getByRole("button", { name: "Continue" }).click();
      await alert.waitFor();
      await picture(popup, `code-wrong-${prefix}`);
      assert.deepEqual(await app.messages(), []);

      await popup.getByRole("button", { name: AGAIN }).click();
      await ask(PHONE.phone_number);
      const second = codeIn(await message(house, NUMBER, 2));
      await popup.getByLabel("Code").fill(`${second.slice(0, 3)} ${second.slice(3)}`);
      await popup.getByRole("button", { name: "Continue" }).click();
      await assertThanked(popup);
      await assertRegistered(house, await app.answer(1), "@alice:localhost", prefix);
      assert.deepEqual(await app.messages(), [{ data: "authDone", origin: house.url }]);
      person.assertQuiet(REFUSED);
    }),
  );
}

trial("UIA-70 another address can be given, and the first one's link proves nothing any more", () =>
  scene(settings(EMAIL), async ({ town, house, person }) => {
    const app = await person.openApp(house, town, "v3", ALICE);
    const popup = await app.openFallback();
    const send = async (address) => {
      await popup.getByLabel("E-mail address").fill(address);
      await popup.getByRole("button", { name: "Send the mail" }).click();
      await popup.getByText(`We have sent a mail to ${address[0]}…@example.org.`).waitFor();
    };
    await send("elice@example.org");
    const wrong = linkIn(await message(house, "elice@example.org"));
    await popup.getByRole("button", { name: AGAIN }).click();
    await send(ADDRESS);
    const { page } = await person.open(wrong);
    const yes = page.getByRole("button", { name: "Yes, it was me" });
    if (await yes.count()) await yes.click();
    const { session } = (await app.answer(0)).body;
    assert.deepEqual((await house.register({ auth: { session } })).body.completed, []);
    await confirm(house, person, ADDRESS, 1);
    await assertThanked(popup);
    await assertRegistered(house, await app.answer(1), "@alice:localhost");
    person.assertQuiet(REFUSED);
  }),
);

trial("UIA-70 the pages of an address and a number work without scripts", () =>
  scene(
    settings(`${EMAIL}+${MSISDN}`),
    async ({ house, person }) => {
      const { session } = (await house.register(ALICE)).body;
      const open = async (stage) => {
        const query = `session=${encodeURIComponent(session)}`;
        return (await person.open(`${house.url}/_matrix/client/r0/auth/${stage}/fallback/web?${query}`)).page;
      };
      const mail = await open(EMAIL);
      await mail.getByLabel("E-mail address").fill(ADDRESS);
      await mail.getByRole("button", { name: "Send the mail" }).click();
      await confirm(house, person, ADDRESS, 1);
      await mail.getByRole("button", { name: "I have opened it" }).click();
      await assertThanked(mail);
      const text = await open(MSISDN);
      await text.getByLabel("Country").selectOption(PHONE.country);
      await text.getByLabel("Phone number").fill(PHONE.phone_number);
      await text.getByRole("button", { name: "Send the code" }).click();
      await text.getByLabel("Code").fill(codeIn(await message(house, NUMBER)));
      await text.getByRole("button", { name: "Continue" }).click();
      await assertThanked(text);
      await assertRegistered(house, await house.register({ auth: { session } }), "@alice:localhost");
    },
    { javaScriptEnabled: false },
  ),
);

trial("UIA-74 hostile addresses, numbers, countries and codes are inert", () =>
  scene(settings(`${EMAIL} ${MSISDN}`), async ({ house, person }) => {
    const open = async (stage) => {
      const session = encodeURIComponent((await house.register({})).body.session);
      return (
        await person.open(`${house.url}/_matrix/client/v3/auth/${stage}/fallback/web?session=${session}`)
      ).page;
    };
    /** Sends a page's form past what the browser would refuse. */
    const send = async (page, fields) => {
      const posted = page.waitForResponse((response) => response.request().method() === "POST");
      await page.evaluate((fields) => {
        const form = document.querySelector("form");
        for (const [name, value] of Object.entries(fields)) {
          const field = form.elements.namedItem(name);
          const free = Object.assign(document.createElement("textarea"), { name, value });
          field.replaceWith(free);
        }
        form.noValidate = true;
        form.querySelector("button").click();
      }, fields);
      const answer = await posted;
      await page.getByRole("alert").waitFor();
      await assertInert(page, answer, answer.status());
      assert.ok([400, 401, 403].includes(answer.status()), `${answer.status()}`);
    };
    const [mail, text] = [await open(EMAIL), await open(MSISDN)];
    for (const hostile of HOSTILE) {
      for (const email of [hostile, `${hostile}@example.org`, `a@${hostile}`]) await send(mail, { email });
      await send(text, { phone_number: hostile });
      await send(text, { country: hostile, phone_number: PHONE.phone_number });
    }
    assert.deepEqual(await house.outbox(), []);
    await text.getByLabel("Country").selectOption(PHONE.country);
    await text.getByLabel("Phone number").fill(PHONE.phone_number);
    await text.getByRole("button", { name: "Send the code" }).click();
    await text.getByLabel("Code").waitFor();
    for (const hostile of HOSTILE) await send(text, { code: hostile });
    person.assertQuiet(REFUSED);
  }),
);
