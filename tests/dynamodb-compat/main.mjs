// Runs the scenario against other implementations of the AWS APIs.

import assert from "node:assert/strict";

import { withServer } from "../clients/gatehouse-server.mjs";
import { MESSAGE_SETTINGS, eventually, waitForMessage } from "../clients/messages.mjs";
import { runTests, test } from "../clients/test-runner.mjs";
import { SETTINGS, runScenario } from "./scenario.mjs";
import { createTables, withDynamoDbLocal, withMoto } from "./engines.mjs";

const PREFIX = "compat";
const settings = { ...SETTINGS, GATEHOUSE_TABLES: PREFIX };

/** Waits for a message that the schedule of `deliver` sends: nothing reads the table streams of these engines. */
const bySchedule = (server) => async (to, count) => {
  await server.advance(60);
  return waitForMessage(server, to, count);
};

/** Runs the scenario with the tables in this DynamoDB. */
const runOver = (dynamodb, options) =>
  withServer(settings, (server) => runScenario(server, bySchedule(server), options), [
    "--dynamodb",
    dynamodb,
  ]);

test("DynamoDB Local creates the tables of template.yaml and accepts every call; only the schedule delivers", () =>
  withDynamoDbLocal(async (dynamodb) => {
    assert.equal(await createTables(dynamodb, PREFIX), "6 tables");
    await runOver(dynamodb);
  }));

// moto checks a condition and writes in two steps that are not atomic, so it cannot be tested with concurrent requests.
test("moto's DynamoDB creates the tables of template.yaml and accepts every call, one at a time", () =>
  withMoto(async (dynamodb) => {
    assert.equal(await createTables(dynamodb, PREFIX), "6 tables");
    await runOver(dynamodb, { concurrent: false });
  }));

/** Returns the form parameters of all requests to SES and SNS that moto has recorded. */
async function recordedForms(moto) {
  const recording = await fetch(`http://${moto}/moto-api/recorder/download-recording`);
  // Before the first request the recording does not exist, and moto responds with an error.
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

/** Returns the mails and text messages that moto has stored. */
async function motoData(moto) {
  const { ses, sns } = await (await fetch(`http://${moto}/moto-api/data.json`)).json();
  return { mails: ses.Message, texts: sns.SMS };
}

/** Waits for a message in the requests that moto has recorded. */
const fromMoto = (moto) => async (to, count) => {
  const sent = await eventually(`message ${count} to ${to}`, async () => {
    const all = (await recordedForms(moto)).filter((form) =>
      [form.get("PhoneNumber"), form.get("Destination.ToAddresses.member.1")].includes(to),
    );
    return all.length === count && all[count - 1];
  });
  return { form: sent, text: sent.get("Message") ?? sent.get("Message.Body.Text.Data") };
};

test("moto's SES and SNS accept the mails and text messages with all their parameters", () =>
  withMoto(async (moto) => {
    const sender = MESSAGE_SETTINGS.GATEHOUSE_MAIL_FROM.match(/<(.*)>/)[1];
    await createTables(moto, "unused", `http://${moto}`, sender);
    for (const action of ["reset-recording", "start-recording"]) {
      await fetch(`http://${moto}/moto-api/recorder/${action}`, { method: "POST" });
    }
    const sent = await withServer(settings, (server) => runScenario(server, fromMoto(moto)), [
      "--messages",
      moto,
    ]);
    const { mails, texts } = await motoData(moto);

    const { form: mail } = sent.mail;
    const stored = mails.find(({ destinations }) =>
      JSON.stringify(destinations).includes("alice@example.org"),
    );
    assert.equal(stored.source, `"example.org accounts" <${sender}>`);
    assert.equal(stored.subject, mail.get("Message.Subject.Data"));
    assert.equal(stored.body, mail.get("Message.Body.Html.Data"));
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
  }));

await runTests();
