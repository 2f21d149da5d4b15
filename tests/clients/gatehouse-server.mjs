// A running Gatehouse, and tests of it: what the JavaScript clients and the browser tests share.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const builds = process.env.TARGET_DIR ?? `${repository}target`;

/** A password that the strictest default accepts. */
export const PASSWORD = "correct horse battery staple";

/** Both prefixes under which every endpoint stands (HTTP-01). */
export const PREFIXES = ["r0", "v3"];

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill()));

/** One `gatehouse-local`, on a port of its own and with nothing in it. */
export class GatehouseServer {
  /** Starts one with these settings, as environment variables, and these args on its command line. */
  static async start(settings = {}, args = []) {
    // Settings of whoever runs this would decide what is tested.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(GATEHOUSE|AWS)_/.test(name));
    const child = spawn(`${builds}/debug/gatehouse-local`, ["--listen", "127.0.0.1:0", ...args], {
      env: { ...Object.fromEntries(inherited), GATEHOUSE_ARGON2: "m=8,t=1,p=1", ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const server = new GatehouseServer();
    running.add(child);
    child.on("exit", () => running.delete(child));
    server.child = child;
    server.log = "";
    child.stderr.on("data", (text) => (server.log += text));
    server.url = await new Promise((resolve, reject) => {
      let output = "";
      child.stdout.on("data", (text) => {
        output += text;
        const ready = output.match(/^Gatehouse is ready for \S+ at (http:\/\/\S+) /m);
        if (ready) resolve(ready[1]);
      });
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`the server did not start: ${server.log}`)));
    });
    return server;
  }

  /** Stops it; that it stops by itself and cleanly is part of every test. */
  async stop() {
    if (this.child.exitCode !== null) throw new Error(`the server fell: ${this.log}`);
    const gone = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const [code] = await gone;
    assert.equal(code, 0, `the server stops cleanly: ${this.log}`);
    assert.doesNotMatch(this.log, /panicked| ERROR /, `the server logged no failure: ${this.log}`);
  }

  /** Asks the API. */
  async request(method, path, { body, token } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: token ? { authorization: `Bearer ${token}` } : {},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  }

  register(body, prefix = "v3") {
    return this.request("POST", `/_matrix/client/${prefix}/register`, { body });
  }

  whoami(token, prefix = "v3") {
    return this.request("GET", `/_matrix/client/${prefix}/account/whoami`, { token });
  }

  /** Every message so far, the oldest first. */
  async outbox() {
    return (await fetch(`${this.url}/_local/outbox`)).json();
  }

  /** Moves the clock on. What is due by then is sent when this is done. */
  async advance(seconds) {
    const moved = await fetch(`${this.url}/_local/clock`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ advance_seconds: seconds }),
    });
    assert.equal(moved.status, 200, await moved.text());
  }

  /** Runs the operator's command as the README says: with the environment that `/_local/env` prints. */
  async admin(...args) {
    const script = `eval "$(curl --silent --fail ${this.url}/_local/env)"; exec "$0" --json "$@"`;
    const command = `${builds}/debug/gatehouse-admin`;
    const output = await new Promise((resolve, reject) => {
      execFile("bash", ["-c", script, command, ...args], (error, stdout, stderr) =>
        error ? reject(new Error(`${args.join(" ")}: ${stderr}`)) : resolve(stdout),
      );
    });
    return JSON.parse(output);
  }
}

/** A server for the time of `use`. */
export async function withServer(settings, use, args) {
  const server = await GatehouseServer.start(settings, args);
  let done;
  try {
    done = await use(server);
  } catch (error) {
    server.child.kill("SIGTERM");
    throw error;
  }
  await server.stop();
  return done;
}

/** The first answer of a registration: a challenge with these flows. Gives its session. */
export async function expectChallenge(server, parameters, flows, prefix = "v3") {
  const { status, body } = await server.register(parameters, prefix);
  assert.equal(status, 401, JSON.stringify(body));
  assert.deepEqual(
    body.flows.map((flow) => flow.stages),
    flows,
  );
  assert.equal(typeof body.session, "string");
  return body.session;
}

/** That the registration is done and its token is good. */
export async function assertRegistered(server, { status, body }, userId, prefix = "v3") {
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.user_id, userId);
  const { status: known, body: who } = await server.whoami(body.access_token, prefix);
  assert.equal(known, 200, JSON.stringify(who));
  assert.equal(who.user_id, userId);
  assert.equal(who.device_id, body.device_id);
}

const tests = [];

/** Adds a test. Its name is a sentence that begins with the requirement it is about. */
export function test(name, run) {
  tests.push({ name, run });
}

/** Runs all tests, or those whose names contain the word on the command line; sets the exit code. */
export async function runTests() {
  const [, , word = ""] = process.argv;
  let [passed, failed] = [0, 0];
  for (const { name, run } of tests.filter((test) => test.name.includes(word))) {
    try {
      await within(120_000, run());
      passed += 1;
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${String(error?.stack ?? error).replace(/^/gm, "      ")}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
