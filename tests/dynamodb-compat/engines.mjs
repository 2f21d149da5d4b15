// Starts DynamoDB Local and moto, each as a process on a free port for one test.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { eventually } from "../clients/messages.mjs";

const { ENGINES_DIR } = process.env;
const python = `${ENGINES_DIR}/python/bin/python`;
const tables = fileURLToPath(new URL("create_tables.py", import.meta.url));
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a service, passes its address to `use` and stops it. */
async function withService(command, args, directory, use) {
  const port = await freePort();
  const child = spawn(command, [...args, String(port)], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.output = "";
  child.on("error", (error) => (child.output += error));
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (child.output += text));
  const address = `127.0.0.1:${port}`;
  try {
    await eventually(`response from ${command}: ${child.output}`, async () => {
      assert.equal(child.exitCode, null, child.output);
      return fetch(`http://${address}/`).catch(() => null);
    });
    return await use(address);
  } finally {
    child.kill("SIGKILL");
    running.delete(child);
  }
}

/** Starts AWS's DynamoDB Local. Without `-sharedDb` it would keep separate tables for each access key and region. */
export function withDynamoDbLocal(use) {
  const args = ["-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"];
  const options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port"];
  return withService("java", [...args, ...options], `${ENGINES_DIR}/dynamodb-local`, use);
}

/** Starts moto, which serves all AWS APIs on one port. */
export function withMoto(use) {
  return withService(
    `${ENGINES_DIR}/python/bin/moto_server`,
    ["--host", "127.0.0.1", "--port"],
    ENGINES_DIR,
    use,
  );
}

/** Creates the tables of template.yaml and, if arguments for SES are given, verifies the sender address there. */
export async function createTables(dynamodb, prefix, ...ses) {
  const args = [tables, `http://${dynamodb}`, prefix, ...ses];
  const env = { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: "1", AWS_EC2_METADATA_DISABLED: "true" };
  const { stdout } = await promisify(execFile)(python, args, { env });
  return stdout.trim();
}
