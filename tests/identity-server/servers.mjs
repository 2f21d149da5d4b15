// The servers of these tests: Gatehouse, an identity server, an SMTP server for the mails of the latter, and the reverse
// proxy of the homeserver in front of Gatehouse.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";

import { withServer } from "../clients/gatehouse-server.mjs";
import { eventually } from "../clients/messages.mjs";

const { SYDENT_DIR } = process.env;
const python = `${SYDENT_DIR}/python/bin/python`;
const certificateScript = fileURLToPath(new URL("certificate.py", import.meta.url));
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** The name of the identity server. It differs from its address, so that the tests show that the name is signed. */
export const NAME = "id.test";

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

async function freePort() {
  const server = net.createServer();
  const port = await listen(server);
  server.close();
  await once(server, "close");
  return port;
}

/** An SMTP server that accepts every mail and stores its text. */
function mailServer(mails) {
  return net.createServer((socket) => {
    const reply = (line) => socket.write(`${line}\r\n`);
    let [text, inMail] = ["", false];
    socket.on("error", () => {});
    socket.on("data", (data) => {
      text += data;
      if (inMail && text.includes("\r\n.\r\n")) {
        // Undo the quoted-printable encoding of line ends and `=`.
        mails.push(text.replace(/=\r\n/g, "").replace(/=3D/g, "="));
        [text, inMail] = ["", false];
        reply("250 accepted");
      }
      while (!inMail && text.includes("\r\n")) {
        const [line] = text.split("\r\n", 1);
        text = text.slice(line.length + 2);
        inMail = /^DATA/i.test(line);
        reply(inMail ? "354 start mail input" : /^QUIT/i.test(line) ? "221 bye" : "250 localhost");
      }
    });
    reply("220 localhost");
  });
}

/** The homeserver's reverse proxy. It terminates TLS, forwards to Gatehouse and serves two endpoints of the homeserver. */
function reverseProxy(credentials, servers) {
  return https.createServer(credentials, (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "https://localhost");
    const json = (body) => response.end(JSON.stringify(body));
    if (pathname === "/_matrix/federation/v1/openid/userinfo")
      return json({ sub: searchParams.get("access_token") });
    if (pathname === "/_matrix/federation/v1/3pid/onbind") return json({});
    servers.keyRequests.push(pathname);
    const forwarded = http.request(
      servers.gatehouse.url + request.url,
      { method: request.method },
      (upstream) => {
        response.writeHead(upstream.statusCode, upstream.headers);
        upstream.pipe(response);
      },
    );
    forwarded.on("error", () => response.destroy());
    return request.pipe(forwarded);
  });
}

const configuration = (port, smtpPort) => `
[general]
server.name = ${NAME}
templates.path = res
brand.default = matrix-org
pidfile.path = sydent.pid
ip.whitelist = 127.0.0.0/8
[db]
db.file = sydent.db
[http]
clientapi.http.bind_address = 127.0.0.1
clientapi.http.port = ${port}
replication.https.bind_address = 127.0.0.1
client_http_base = http://127.0.0.1:${port}
[email]
email.from = Sydent <noreply@localhost>
email.smtphost = 127.0.0.1
email.smtpport = ${smtpPort}
email.hostname = localhost
email.tlsmode = 0
[crypto]
ed25519.signingkey =
`;

/** The identity server, with its configuration and database in a directory. */
class Sydent {
  constructor(directory, port) {
    Object.assign(this, { directory, port, output: "" });
  }

  async start() {
    const { directory: cwd, port } = this;
    const env = {
      PATH: process.env.PATH,
      SYDENT_CONF: "sydent.conf",
      SSL_CERT_FILE: `${cwd}/certificate.pem`,
    };
    const child = spawn(python, ["-m", "sydent.sydent"], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (this.output += text));
    await eventually("response from Sydent", () => {
      assert.equal(child.exitCode, null, this.output);
      return fetch(`http://127.0.0.1:${port}/_matrix/identity/v2`).catch(() => null);
    });
  }

  /** Kills the process, like the crash of a machine. */
  async stop() {
    const { child } = this;
    if (!running.delete(child) || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }
}

/** Starts Gatehouse with these settings and an identity server that it trusts, passes both to `use` and stops them. */
export async function withServers(settings, use) {
  const directory = await mkdtemp(path.join(tmpdir(), "gatehouse-sydent-"));
  const servers = { mails: [], keyRequests: [] };
  const smtp = mailServer(servers.mails);
  let proxy;
  try {
    await promisify(execFile)(python, [certificateScript, directory]);
    await symlink(`${SYDENT_DIR}/res`, `${directory}/res`);
    const [key, cert] = await Promise.all(
      ["key.pem", "certificate.pem"].map((file) => readFile(`${directory}/${file}`)),
    );
    proxy = reverseProxy({ key, cert }, servers);
    const [port, smtpPort, proxyPort] = await Promise.all([freePort(), listen(smtp), listen(proxy)]);
    await writeFile(`${directory}/sydent.conf`, configuration(port, smtpPort));
    servers.url = `http://127.0.0.1:${port}/_matrix/identity`;
    servers.serverName = `127.0.0.1:${proxyPort}`;
    const all = {
      GATEHOUSE_SERVER_NAME: servers.serverName,
      GATEHOUSE_TRUSTED_ID_SERVERS: `${NAME}=http://127.0.0.1:${port}`,
      ...settings,
    };
    servers.sydent = new Sydent(directory, port);
    await servers.sydent.start();
    return await withServer(all, async (server) => {
      servers.gatehouse = server;
      return use(servers);
    });
  } catch (error) {
    error.message += `\nSydent output:\n${servers.sydent?.output.split("\n").slice(-30).join("\n")}`;
    throw error;
  } finally {
    await servers.sydent?.stop();
    smtp.close();
    proxy?.close();
    proxy?.closeAllConnections();
    await rm(directory, { recursive: true });
  }
}
