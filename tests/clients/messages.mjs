// What comes by mail and by text message, and what people do with it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** The settings for a server that sends both. */
export const MESSAGE_SETTINGS = {
  GATEHOUSE_MAIL_FROM: "example.org accounts <accounts@example.org>",
  GATEHOUSE_SMS_COUNTRIES: "DE GB",
};

/** A number that somebody can have, as dialled in its country and as Matrix has it. */
export const PHONE = { country: "GB", phone_number: "07400 123456", msisdn: "447400123456" };

/** Asks until there is an answer; a message takes its way from the outbox's stream to the sinks. */
export async function eventually(what, ask) {
  for (let asked = 0; asked < 150; asked += 1) {
    const answer = await ask();
    if (answer) return answer;
    await sleep(100);
  }
  throw new Error(`no ${what} after 15 s`);
}

/** The `count`-th message to an address or number, which must be the last one there. */
export function waitForMessage(server, to, count = 1) {
  return eventually(`message ${count} to ${to}`, async () => {
    const messages = (await server.outbox()).filter((message) => message.to === to);
    assert.ok(messages.length <= count, `${messages.length} messages to ${to}`);
    return messages.length === count && messages[count - 1];
  });
}

/** The one link in a mail's text. */
export function extractLink({ text }) {
  const links = text.match(/https?:\/\/\S+/g) ?? [];
  assert.equal(links.length, 1, text);
  return links[0];
}

/** The code that a text message begins with. */
export function extractCode({ text }) {
  const [, code] = text.match(/^(\d{6}) /) ?? [];
  assert.ok(code, text);
  return code;
}

/** Another code than this. */
export const wrongCode = (code) => String((Number(code) + 1) % 1_000_000).padStart(6, "0");

/** Opens a mail's link and presses a button of its page: `confirm`, or `refuse`. */
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
