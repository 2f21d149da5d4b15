// The walk, past the services of others.

import assert from "node:assert/strict";

import { runTrials, trial, withHouse } from "../clients/gatehouse-server.mjs";
import { POST, eventually, message } from "../clients/messages.mjs";
import { SETTINGS, walk } from "./scenario.mjs";
import { makeTables, withDynamoDbLocal, withMoto } from "./engines.mjs";

const PREFIX = "opinions";
const settings = { ...SETTINGS, GATEHOUSE_TABLES: PREFIX };

/** Nobody reads a stream there: a minute passes, and the schedule sends. */
const bySchedule = (house) => async (to, count) => {
  await house.advance(60);
  return message(house, to, count);
};

/** Walks over tables elsewhere. */
const past = (dynamodb, options) =>
  withHouse(settings, (house) => walk(house, bySchedule(house), options), ["--dynamodb", dynamodb]);

trial(
  "DynamoDB Local creates the template's tables and takes every call, delivery by the schedule alone",
  () =>
    withDynamoDbLocal(async (dynamodb) => {
      assert.equal(await makeTables(dynamodb, PREFIX), "5 tables");
      await past(dynamodb);
    }),
);

// It judges a condition and writes in two steps, with nothing that keeps other callers out between them.
trial("moto's DynamoDB creates the template's tables and takes every call, one after the other", () =>
  withMoto(async (dynamodb) => {
    assert.equal(await makeTables(dynamodb, PREFIX), "5 tables");
    await past(dynamodb, { races: false });
  }),
);

/** What moto was sent: the forms of the calls to SES and SNS. */
async function forms(moto) {
  const recording = await fetch(`http://${moto}/moto-api/recorder/download-recording`);
  // Before the first call there is no file, and it fails over that.
  if (!recording.ok) return [];
  const calls = (await recording.text())
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  return calls.map(({ body, body_encoded }) => {
    const text = body_encoded ? Buffer.from(body, "base64").toString() : body;
    return new URLSearchParams(text);
  });
}

/** What moto made of them. */
async function taken(moto) {
  const { ses, sns } = await (await fetch(`http://${moto}/moto-api/data.json`)).json();
  return { mails: ses.Message, texts: sns.SMS };
}

/** The messages as the walk wants them, from what moto took and what it was sent. */
const fromMoto = (moto) => async (to, count) => {
  const sent = await eventually(`message ${count} to ${to}`, async () => {
    const all = (await forms(moto)).filter((form) =>
      [form.get("PhoneNumber"), form.get("Destination.ToAddresses.member.1")].includes(to),
    );
    return all.length === count && all[count - 1];
  });
  return { form: sent, text: sent.get("Message") ?? sent.get("Message.Body.Text.Data") };
};

trial("moto's SES and SNS take the mails and text messages with all that belongs to them", () =>
  withMoto(async (moto) => {
    const sender = POST.GATEHOUSE_MAIL_FROM.match(/<(.*)>/)[1];
    await makeTables(moto, "unused", `http://${moto}`, sender);
    for (const act of ["reset-recording", "start-recording"]) {
      await fetch(`http://${moto}/moto-api/recorder/${act}`, { method: "POST" });
    }
    const walked = await withHouse(settings, (house) => walk(house, fromMoto(moto)), ["--messages", moto]);
    const { mails, texts } = await taken(moto);

    const { form: mail } = walked.mail;
    const kept = mails.find(({ destinations }) => JSON.stringify(destinations).includes("alice@example.org"));
    assert.equal(kept.source, `"example.org accounts" <${sender}>`);
    assert.equal(kept.subject, mail.get("Message.Subject.Data"));
    assert.equal(kept.body, mail.get("Message.Body.Html.Data"));
    for (const part of ["Subject", "Body.Html", "Body.Text"]) {
      assert.equal(mail.get(`Message.${part}.Charset`), "UTF-8");
      assert.ok(mail.get(`Message.${part}.Data`), part);
    }
    assert.equal(mail.get("ConfigurationSetName"), "accounts");

    const { form: text } = walked.text;
    assert.ok(texts.some((sms) => sms.phone_number === "+447400123456" && sms.message === walked.text.text));
    const attributes = {};
    for (let entry = 1; text.has(`MessageAttributes.entry.${entry}.Name`); entry += 1) {
      const at = (name) => text.get(`MessageAttributes.entry.${entry}.${name}`);
      attributes[at("Name")] = [at("Value.DataType"), at("Value.StringValue")];
    }
    assert.deepEqual(attributes, {
      "AWS.SNS.SMS.SMSType": ["String", "Transactional"],
      "AWS.SNS.SMS.SenderID": ["String", "Example"],
      "AWS.SNS.SMS.MaxPrice": ["Number", "0.10"],
    });
  }),
);

await runTrials();
