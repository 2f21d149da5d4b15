// The walk, past the services of others.

import assert from "node:assert/strict";

import { withServer } from "../clients/gatehouse-server.mjs";
import { MESSAGE_SETTINGS, eventually, waitForMessage } from "../clients/messages.mjs";
import { runTests, test } from "../clients/test-runner.mjs";
import { SETTINGS, runScenario } from "./scenario.mjs";
import { createTables, withDynamoDbLocal, withMoto } from "./engines.mjs";

const PREFIX = "compat";
const settings = { ...SETTINGS, GATEHOUSE_TABLES: PREFIX };

/** Nobody reads a stream there: a minute passes, and the schedule sends. */
const bySchedule = (server) => async (to, count) => {
  await server.advance(60);
  return waitForMessage(server, to, count);
};

/** Walks over tables elsewhere. */
const runOver = (dynamodb, options) =>
  withServer(settings, (server) => runScenario(server, bySchedule(server), options), ["--dynamodb", dynamodb]);

test(
  "DynamoDB Local creates the template's tables and takes every call, delivery by the schedule alone",
  () =>
    withDynamoDbLocal(async (dynamodb) => {
      assert.equal(await createTables(dynamodb, PREFIX), "5 tables");
      await runOver(dynamodb);
    }),
);

// It judges a condition and writes in two steps, with nothing that keeps other callers out between them.
test("moto's DynamoDB creates the template's tables and takes every call, one after the other", () =>
  withMoto(async (dynamodb) => {
    assert.equal(await createTables(dynamodb, PREFIX), "5 tables");
    await runOver(dynamodb, { concurrent: false });
  }),
);

/** What moto was sent: the forms of the calls to SES and SNS. */
async function recordedForms(moto) {
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
async function motoData(moto) {
  const { ses, sns } = await (await fetch(`http://${moto}/moto-api/data.json`)).json();
  return { mails: ses.Message, texts: sns.SMS };
}

/** The messages as the walk wants them, from what moto took and what it was sent. */
const fromMoto = (moto) => async (to, count) => {
  const sent = await eventually(`message ${count} to ${to}`, async () => {
    const all = (await recordedForms(moto)).filter((form) =>
      [form.get("PhoneNumber"), form.get("Destination.ToAddresses.member.1")].includes(to),
    );
    return all.length === count && all[count - 1];
  });
  return { form: sent, text: sent.get("Message") ?? sent.get("Message.Body.Text.Data") };
};

test("moto's SES and SNS take the mails and text messages with all that belongs to them", () =>
  withMoto(async (moto) => {
    const sender = MESSAGE_SETTINGS.GATEHOUSE_MAIL_FROM.match(/<(.*)>/)[1];
    await createTables(moto, "unused", `http://${moto}`, sender);
    for (const action of ["reset-recording", "start-recording"]) {
      await fetch(`http://${moto}/moto-api/recorder/${action}`, { method: "POST" });
    }
    const sent = await withServer(settings, (server) => runScenario(server, fromMoto(moto)), ["--messages", moto]);
    const { mails, texts } = await motoData(moto);

    const { form: mail } = sent.mail;
    const kept = mails.find(({ destinations }) => JSON.stringify(destinations).includes("alice@example.org"));
    assert.equal(kept.source, `"example.org accounts" <${sender}>`);
    assert.equal(kept.subject, mail.get("Message.Subject.Data"));
    assert.equal(kept.body, mail.get("Message.Body.Html.Data"));
    for (const part of ["Subject", "Body.Html", "Body.Text"]) {
      assert.equal(mail.get(`Message.${part}.Charset`), "UTF-8");
      assert.ok(mail.get(`Message.${part}.Data`), part);
    }
    assert.equal(mail.get("ConfigurationSetName"), "accounts");

    const { form: text } = sent.text;
    assert.ok(texts.some((sms) => sms.phone_number === "+447400123456" && sms.message === sent.text.text));
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

await runTests();
