// A running `gatehouse-local`, shared by the JavaScript tests.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const targetDirectory = process.env.TARGET_DIR ?? `${repository}target`;

/** A password that the default password policy accepts. */
export const PASSWORD = "correct horse battery staple";

/** The two path prefixes of every endpoint (HTTP-01). */
export const PREFIXES = ["r0", "v3"];

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill()));

/** One `gatehouse-local` process on a free port, with empty tables. */
export class GatehouseServer {
  /** Starts the process with these settings as environment variables and these command-line arguments. */
  static async start(settings = {}, args = []) {
    // The caller's own settings must not change what is tested.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(GATEHOUSE|AWS)_/.test(name));
    const child = spawn(`${targetDirectory}/debug/gatehouse-local`, ["--listen", "127.0.0.1:0", ...args], {
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
      child.on("exit", () => reject(new Error(`gatehouse-local did not start: ${server.log}`)));
    });
    return server;
  }

  /** Stops the process. Every test also checks that it exits with code 0 and has logged no error. */
  async stop() {
    if (this.child.exitCode !== null) throw new Error(`gatehouse-local exited during the test: ${this.log}`);
    const exited = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const [code] = await exited;
    assert.equal(code, 0, `gatehouse-local did not stop cleanly: ${this.log}`);
    assert.doesNotMatch(this.log, /panicked| ERROR /, `gatehouse-local logged an error: ${this.log}`);
  }

  /** Sends a request with a JSON body, if any, and parses the JSON of the response. */
  async request(method, path, { body, token } = {}) {
    const headers = {};
    if (token) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const response = await fetch(this.url + path, { method, headers, body: JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  }

  register(body, prefix = "v3") {
    return this.request("POST", `/_matrix/client/${prefix}/register`, { body });
  }

  whoami(token, prefix = "v3") {
    return this.request("GET", `/_matrix/client/${prefix}/account/whoami`, { token });
  }

  /** All messages sent so far, the oldest first. */
  async outbox() {
    return (await fetch(`${this.url}/_local/outbox`)).json();
  }

  /** Advances the server's clock. Messages that are then due have been sent when this returns. */
  async advance(seconds) {
    const moved = await fetch(`${this.url}/_local/clock`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ advance_seconds: seconds }),
    });
    assert.equal(moved.status, 200, await moved.text());
  }

  /** Runs the admin CLI as README.md describes: with the environment that `/_local/env` prints. */
  async admin(...args) {
    const script = `eval "$(curl --silent --fail ${this.url}/_local/env)"; exec "$0" --json "$@"`;
    const command = `${targetDirectory}/debug/gatehouse-admin`;
    const output = await new Promise((resolve, reject) => {
      execFile("bash", ["-c", script, command, ...args], (error, stdout, stderr) =>
        error ? reject(new Error(`${args.join(" ")}: ${stderr}`)) : resolve(stdout),
      );
    });
    return JSON.parse(output);
  }
}

/** Starts a server, passes it to `use` and stops it. */
export async function withServer(settings, use, args) {
  const server = await GatehouseServer.start(settings, args);
  let result;
  try {
    result = await use(server);
  } catch (error) {
    server.child.kill("SIGTERM");
    throw error;
  }
  await server.stop();
  return result;
}

/** Sends a first registration request, asserts that its challenge offers these flows and returns the UIA session. */
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

/** Asserts that the registration succeeded and that its access token is valid. */
export async function assertRegistered(server, { status, body }, userId, prefix = "v3") {
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body.user_id, userId);
  const whoami = await server.whoami(body.access_token, prefix);
  assert.equal(whoami.status, 200, JSON.stringify(whoami.body));
  assert.equal(whoami.body.user_id, userId);
  assert.equal(whoami.body.device_id, body.device_id);
}
