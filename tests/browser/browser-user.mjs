// A browser user, and the problems that the browser reports.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const screenshots = process.env.SCREENSHOTS;

// Without these switches Chromium sends requests to Google in the background.
const ARGUMENTS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let browser;

/** Closes the browser after the last test. */
export async function closeBrowser() {
  await browser?.close();
}

/** A user with a new browser profile. */
export class BrowserUser {
  /** Dialogs, console errors and warnings, uncaught exceptions and Content-Security-Policy violations. */
  problems = [];

  static async start(options = {}) {
    browser ??= await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ARGUMENTS,
    });
    const user = new BrowserUser();
    user.context = await browser.newContext({ locale: "en-GB", ...options });
    user.context.setDefaultTimeout(15_000);
    await user.listen();
    return user;
  }

  async listen() {
    const { context, problems } = this;
    context.on("dialog", (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    context.on("weberror", (error) => problems.push(`exception: ${error.error().message}`));
    context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`console: ${message.text()}`);
    });
    await context.exposeBinding("reportViolation", (_, text) => problems.push(`violation: ${text}`));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        reportViolation(`${event.violatedDirective} ${event.blockedURI} on ${event.documentURI}`);
      });
    });
  }

  /** Opens the URL in a new tab and returns the page with its HTTP response. */
  async open(url) {
    const page = await this.context.newPage();
    const response = await page.goto(url);
    return { page, response };
  }

  /** Opens the web client, which sends a registration request with these parameters at once. */
  async openWebClient(server, sites, prefix, parameters) {
    const query = new URLSearchParams({ base: server.url, prefix, parameters: JSON.stringify(parameters) });
    const { page } = await this.open(`${sites.url}/app?${query}`);
    return new WebClient(page);
  }

  /** Asserts that every problem matches one of the expected patterns, and that each pattern matches a problem. */
  assertNoProblems(...expected) {
    const unexpected = this.problems.filter((problem) => !expected.some((pattern) => pattern.test(problem)));
    assert.deepEqual(unexpected, [], "the browser reported problems");
    for (const pattern of expected) {
      const found = this.problems.some((problem) => pattern.test(problem));
      assert.ok(found, `no problem matches ${pattern}: ${JSON.stringify(this.problems)}`);
    }
  }
}

/** Creates a browser user, passes it to `use` and closes its browser context. */
export async function withBrowserUser(options, use) {
  const user = await BrowserUser.start(options);
  try {
    return await use(user);
  } finally {
    await user.context.close();
  }
}

/** Chromium logs every 4xx response on the console, including the 401 challenges of a successful registration. */
export const UNAUTHORIZED = /^console: .*status of 401/;

/** The page of the web client (see pages.mjs). */
class WebClient {
  constructor(page) {
    this.page = page;
  }

  /** Waits for the response to the registration request number `index`, counted from 0. */
  async response(index) {
    await this.page.waitForFunction((index) => window.responses.length > index, index);
    return this.page.evaluate((index) => window.responses[index], index);
  }

  /** All messages that the page has received from other windows with `postMessage`. */
  messages() {
    return this.page.evaluate(() => window.messages);
  }

  /** Opens the fallback page of the next stage in a new window. */
  async openFallback() {
    await this.response(0);
    const popup = this.page.waitForEvent("popup");
    await this.page.click("#continue");
    const page = await popup;
    await page.waitForLoadState();
    return page;
  }
}

/** Saves a screenshot of the page if the environment variable SCREENSHOTS is set. */
export async function screenshot(page, name) {
  if (!screenshots) return;
  await mkdir(screenshots, { recursive: true });
  await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
}

/** Asserts that the page shown is the one after a completed stage. */
export async function assertStageCompleted(page) {
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  assert.equal(await page.locator("form").count(), 0);
}

/** Asserts the status of the page and that no injected script, image or frame is in it. */
export async function assertInert(page, response, status) {
  assert.equal(response.status(), status, response.url());
  assert.match(response.headers()["content-type"], /^text\/html; charset=utf-8$/);
  assert.equal(await page.locator("script, svg, img, iframe, object, embed").count(), 0);
  assert.equal(await page.evaluate(() => window.wasHacked), undefined);
}
