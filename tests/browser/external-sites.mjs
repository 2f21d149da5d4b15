// The sites other than the homeserver that a browser visits in these tests: a web client, pages that frame a page or
// post a form to it, policy documents, and captcha providers.

import { createServer } from "node:http";
import { once } from "node:events";

import { WEB_CLIENT, page } from "./pages.mjs";

/** Per captcha provider, the class of the element that holds the widget and the form field with the response. */
export const PROVIDERS = {
  recaptcha: { container: "g-recaptcha", field: "g-recaptcha-response" },
  hcaptcha: { container: "h-captcha", field: "h-captcha-response" },
  turnstile: { container: "cf-turnstile", field: "cf-turnstile-response" },
};

/** Returns a provider's script. It adds a checkbox and puts the response in a field of the surrounding form. */
export function widget({ container, field }) {
  return `(() => {
    const container = document.querySelector(".${container}");
    const response = document.createElement("textarea");
    Object.assign(response, { name: "${field}", hidden: true });
    const label = document.createElement("label");
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", id: "human" });
    box.onchange = () => { response.value = box.checked ? "human " + container.dataset.sitekey : ""; };
    label.append(box, "I am not a machine");
    container.append(label, response);
  })();`;
}

/** A web server on another site than Gatehouse: browsers treat `localhost` and `127.0.0.1` as different sites. */
export class ExternalSites {
  /** The forms of the verification requests that the captcha provider has received. */
  verifyRequests = [];
  /** The result of a verification request; `null` stands for an invalid response of the provider. */
  verifyResult = (form) => form.get("response") === `human ${this.siteKey}`;
  siteKey = "site-key";
  /** The Referer headers of all requests. */
  referrers = [];

  static async start() {
    const sites = new ExternalSites();
    sites.server = createServer((request, response) => sites.handle(request, response));
    sites.server.listen(0, "127.0.0.1");
    await once(sites.server, "listening");
    sites.port = sites.server.address().port;
    sites.url = `http://localhost:${sites.port}`;
    return sites;
  }

  async stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  async handle(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.url);
    if (request.headers.referer) this.referrers.push(request.headers.referer);
    const send = (status, type, body) => response.writeHead(status, { "content-type": type }).end(body);
    const html = (body) => send(200, "text/html; charset=utf-8", body);
    const [, provider] = pathname.match(/^\/([a-z]+)\.js$/) ?? [];
    if (pathname === "/app") return html(WEB_CLIENT);
    if (pathname === "/frame") return html(page(frames(searchParams.get("url"))));
    if (pathname === "/post") {
      return html(page(form(searchParams.get("url"), JSON.parse(searchParams.get("fields") ?? "[]"))));
    }
    if (pathname === "/callback") return html(page("<h1>The app</h1>"));
    if (pathname.startsWith("/policy/")) return html(page(`<h1>${pathname}</h1>`));
    if (provider in PROVIDERS) return send(200, "text/javascript", widget(PROVIDERS[provider]));
    if (pathname === "/siteverify") return this.verify(request, send);
    return send(204, "text/plain");
  }

  async verify(request, send) {
    let body = "";
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    this.verifyRequests.push(form);
    const success = this.verifyResult(form);
    if (success === null) return send(502, "text/html", "<h1>Bad Gateway</h1>");
    return send(200, "application/json", JSON.stringify({ success, "error-codes": [] }));
  }

  /** Settings that make Gatehouse use this captcha provider. */
  captcha(provider) {
    return {
      GATEHOUSE_CAPTCHA_PROVIDER: provider,
      GATEHOUSE_CAPTCHA_SITE_KEY: this.siteKey,
      GATEHOUSE_CAPTCHA_SECRET_KEY: "the-secret-key",
      GATEHOUSE_CAPTCHA_SCRIPT_URL: `${this.url}/${provider}.js`,
      GATEHOUSE_CAPTCHA_VERIFY_URL: `http://127.0.0.1:${this.port}/siteverify`,
    };
  }

  /** Two policies; the first has texts in two languages. */
  get policies() {
    const text = (name, path) => ({ name, url: `${this.url}/policy/${path}` });
    return {
      privacy: {
        version: "1.2",
        en: text("Privacy policy", "privacy/en"),
        de: text("Datenschutzerklärung", "privacy/de"),
      },
      conduct: { version: "7", en: text("Code of conduct", "conduct/en") },
    };
  }
}

/** Starts the external sites, passes them to `use` and stops them. */
export async function withExternalSites(use) {
  const sites = await ExternalSites.start();
  try {
    return await use(sites);
  } finally {
    await sites.stop();
  }
}

const quoted = (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;");

function frames(url) {
  return `<iframe src="${quoted(url)}"></iframe>
    <object data="${quoted(url)}" type="text/html"></object>`;
}

function form(url, fields) {
  const hidden = fields.map(([name, value]) => `<input type="hidden" name="${name}" value="${quoted(value)}">`);
  return `<form method="post" target="_blank" rel="opener" action="${quoted(url)}">
    ${hidden.join("")}<button>Win a prize</button></form>`;
}
