// The mails and text messages that Gatehouse sends, and the links and codes in them.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Settings that enable mails and text messages. */
export const MESSAGE_SETTINGS = {
  GATEHOUSE_MAIL_FROM: "example.org accounts <accounts@example.org>",
  GATEHOUSE_SMS_COUNTRIES: "DE GB",
};

/** A valid phone number: in national format, and as the MSISDN that Matrix uses. */
export const PHONE = { country: "GB", phone_number: "07400 123456", msisdn: "447400123456" };

/** Calls `poll` until it returns a truthy value. Messages are sent asynchronously, through the outbox table's stream. */
export async function eventually(what, poll) {
  for (let attempt = 0; attempt < 150; attempt += 1) {
    const result = await poll();
    if (result) return result;
    await sleep(100);
  }
  throw new Error(`no ${what} after 15 s`);
}

/** Waits for the `count`-th message to an e-mail address or phone number. There must be no further message to it. */
export function waitForMessage(server, to, count = 1) {
  return eventually(`message ${count} to ${to}`, async () => {
    const messages = (await server.outbox()).filter((message) => message.to === to);
    assert.ok(messages.length <= count, `${messages.length} messages to ${to}`);
    return messages.length === count && messages[count - 1];
  });
}

/** Returns the only link in the text of a mail. */
export function extractLink({ text }) {
  const links = text.match(/https?:\/\/\S+/g) ?? [];
  assert.equal(links.length, 1, text);
  return links[0];
}

/** Returns the code at the beginning of a text message. */
export function extractCode({ text }) {
  const [, code] = text.match(/^(\d{6}) /) ?? [];
  assert.ok(code, text);
  return code;
}

/** Returns a code other than `code`. */
export const wrongCode = (code) => String((Number(code) + 1) % 1_000_000).padStart(6, "0");

/** Opens the link of a mail and submits its form with the button `action`: `confirm` or `refuse`. */
export async function submitLinkPage(link, action = "confirm") {
  const page = await fetch(link);
  assert.equal(page.status, 200, await page.clone().text());
  const html = await page.text();
  const [, target] = html.match(/<form method="post" action="([^"]+)">/);
  const hidden = [...html.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)];
  const fields = hidden.map(([, name, value]) => [
    name,
    value.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(code)),
  ]);
  return fetch(new URL(target, link), {
    method: "POST",
    body: new URLSearchParams([...fields, ["action", action]]),
    redirect: "manual",
  });
}
