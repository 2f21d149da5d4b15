// A browser without a display for the pages of the OAuth 2.0 API: it keeps cookies, follows redirects of the server,
// finds forms by the names of their fields, and reads the link to the client but never opens it.

import assert from "node:assert/strict";

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"' };

/** Decodes the character references that the templates write. */
const decoded = (text) =>
  text.replace(/&(?:#(\d+)|([a-z]+));/g, (all, code, name) =>
    code ? String.fromCodePoint(code) : (ENTITIES[name] ?? all),
  );

/** The attributes of the elements with this tag name in `html`. */
function elements(html, tag) {
  return [...html.matchAll(new RegExp(`<${tag}\\b([^>]*)>`, "g"))].map(([, attributes]) =>
    Object.fromEntries(
      [...attributes.matchAll(/([a-z-]+)(?:="([^"]*)")?/g)].map(([, name, value = ""]) => [
        name,
        decoded(value),
      ]),
    ),
  );
}

export class PageDriver {
  cookies = new Map();

  /** Opens a page. */
  async open(url) {
    await this.#send(url);
  }

  /** Submits the form that has all these fields. The hidden fields of the form are sent, too. */
  async submit(values) {
    const [form, content] = this.#form(Object.keys(values));
    const hidden = elements(content, "input").filter((input) => input.type === "hidden");
    const fields = hidden.map(({ name, value }) => [name, value]);
    const body = new URLSearchParams([...fields, ...Object.entries(values)]);
    await this.#send(new URL(form.action, this.url).href, { method: "POST", body });
  }

  /** Opens the link with this text. */
  async follow(text) {
    const link = this.html.match(new RegExp(`<a href="([^"]+)">${text}</a>`));
    assert.ok(link, `no link “${text}”: ${this.html}`);
    await this.#send(new URL(decoded(link[1]), this.url).href);
  }

  /** The URL of the link to the client. */
  response() {
    const links = elements(this.html, "a").filter(({ id }) => id === "continue");
    assert.equal(links.length, 1, this.html);
    return new URL(links[0].href);
  }

  #form(names) {
    for (const [, tag, content] of this.html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)) {
      const controls = ["input", "button", "select"].flatMap((kind) => elements(content, kind));
      if (names.every((name) => controls.some((control) => control.name === name))) {
        return [elements(`<form${tag}>`, "form")[0], content];
      }
    }
    throw new Error(`no form with the fields ${names}: ${this.html}`);
  }

  async #send(url, options = {}) {
    const cookie = [...this.cookies].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(url, { ...options, headers: { cookie }, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      this.cookies.set(name, value);
    }
    const location = response.headers.get("location");
    if (location !== null) {
      const target = new URL(location, url);
      assert.equal(target.origin, new URL(url).origin, "a redirect leaves the server");
      return this.#send(target.href);
    }
    Object.assign(this, { url, status: response.status, html: await response.text() });
  }
}
