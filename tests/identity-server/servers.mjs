// What stands around a server here: an identity server, the mail that it sends, and the homeserver's own
// address, behind which is the server.

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
const certificates = fileURLToPath(new URL("certificate.py", import.meta.url));
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** What the identity server is called: not where it is, so that names are what is signed. */
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

/** Takes any mail, and keeps its text. */
function mailServer(mails) {
  return net.createServer((socket) => {
    const say = (line) => socket.write(`${line}\r\n`);
    let [text, inMail] = ["", false];
    socket.on("error", () => {});
    socket.on("data", (data) => {
      text += data;
      if (inMail && text.includes("\r\n.\r\n")) {
        // Quoted-printable hides what is at the end of a line.
        mails.push(text.replace(/=\r\n/g, "").replace(/=3D/g, "="));
        [text, inMail] = ["", false];
        say("250 taken");
      }
      while (!inMail && text.includes("\r\n")) {
        const [line] = text.split("\r\n", 1);
        text = text.slice(line.length + 2);
        inMail = /^DATA/i.test(line);
        say(inMail ? "354 go on" : /^QUIT/i.test(line) ? "221 bye" : "250 localhost");
      }
    });
    say("220 localhost");
  });
}

/** The homeserver's address: TLS, the server behind it, and the little of a homeserver that it is not. */
function reverseProxy(credentials, servers) {
  return https.createServer(credentials, (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "https://localhost");
    const json = (body) => response.end(JSON.stringify(body));
    if (pathname === "/_matrix/federation/v1/openid/userinfo") return json({ sub: searchParams.get("access_token") });
    if (pathname === "/_matrix/federation/v1/3pid/onbind") return json({});
    servers.keyRequests.push(pathname);
    const passed = http.request(servers.gatehouse.url + request.url, { method: request.method }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    return request.pipe(passed);
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

/** The identity server, with what it knows in a directory. */
class Sydent {
  constructor(directory, port) {
    Object.assign(this, { directory, port, output: "" });
  }

  async start() {
    const { directory: cwd, port } = this;
    const env = { PATH: process.env.PATH, SYDENT_CONF: "sydent.conf", SSL_CERT_FILE: `${cwd}/certificate.pem` };
    const child = spawn(python, ["-m", "sydent.sydent"], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (this.output += text));
    await eventually("answer of Sydent", () => {
      assert.equal(child.exitCode, null, this.output);
      return fetch(`http://127.0.0.1:${port}/_matrix/identity/v2`).catch(() => null);
    });
  }

  /** As a machine falls: it says goodbye to nobody. */
  async stop() {
    const { child } = this;
    if (!running.delete(child) || child.exitCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
}

/** A server that trusts an identity server of its own, with both at hand, for the time of `use`. */
export async function withServers(settings, use) {
  const directory = await mkdtemp(path.join(tmpdir(), "gatehouse-sydent-"));
  const servers = { mails: [], keyRequests: [] };
  const smtp = mailServer(servers.mails);
  let proxy;
  try {
    await promisify(execFile)(python, [certificates, directory]);
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
