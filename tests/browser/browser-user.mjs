// A user at a browser, and all that the browser had to complain of.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const screenshots = process.env.SCREENSHOTS;

// Without these Chromium asks its maker for things all the time.
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

/** A user with a fresh profile. */
export class BrowserUser {
  /** Dialogs, errors on the console, exceptions and violations of a content security policy. */
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

  /** A page, and the answer it came with. */
  async open(url) {
    const page = await this.context.newPage();
    const response = await page.goto(url);
    return { page, response };
  }

  /** Opens the web client, which asks to register at once. */
  async openWebClient(server, sites, prefix, parameters) {
    const query = new URLSearchParams({ base: server.url, prefix, parameters: JSON.stringify(parameters) });
    const { page } = await this.open(`${sites.url}/app?${query}`);
    return new WebClient(page);
  }

  /** Nothing was complained of but what is expected: each expectation a pattern that must occur. */
  assertNoProblems(...expected) {
    const surprises = this.problems.filter((one) => !expected.some((pattern) => pattern.test(one)));
    assert.deepEqual(surprises, [], "the browser has nothing to complain of");
    for (const pattern of expected) {
      const found = this.problems.some((one) => pattern.test(one));
      assert.ok(found, `${pattern} was expected among ${JSON.stringify(this.problems)}`);
    }
  }
}

/** A user for the time of `use`. */
export async function withBrowserUser(options, use) {
  const user = await BrowserUser.start(options);
  try {
    return await use(user);
  } finally {
    await user.context.close();
  }
}

/** What Chromium logs of every answer that is not good: the challenges of a good sign-up among them. */
export const UNAUTHORIZED = /^console: .*status of 401/;

/** The web client in its page. */
class WebClient {
  constructor(page) {
    this.page = page;
  }

  /** The n-th answer to a request to register, as soon as it is there. */
  async response(index) {
    await this.page.waitForFunction((index) => window.responses.length > index, index);
    return this.page.evaluate((index) => window.responses[index], index);
  }

  /** All that any window has told it. */
  messages() {
    return this.page.evaluate(() => window.messages);
  }

  /** Clicks for the fallback page of the next stage, which opens in a window of its own. */
  async openFallback() {
    await this.response(0);
    const popup = this.page.waitForEvent("popup");
    await this.page.click("#continue");
    const page = await popup;
    await page.waitForLoadState();
    return page;
  }
}

/** Keeps a picture of the page for whoever wants to look, if SCREENSHOTS names a directory. */
export async function screenshot(page, name) {
  if (!screenshots) return;
  await mkdir(screenshots, { recursive: true });
  await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
}

/** The page after a completed stage is shown. */
export async function assertStageCompleted(page) {
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  assert.equal(await page.locator("form").count(), 0);
}

/** The page is `status` and has no scripts, pictures or frames of anybody's making. */
export async function assertInert(page, response, status) {
  assert.equal(response.status(), status, response.url());
  assert.match(response.headers()["content-type"], /^text\/html; charset=utf-8$/);
  assert.equal(await page.locator("script, svg, img, iframe, object, embed").count(), 0);
  assert.equal(await page.evaluate(() => window.wasHacked), undefined);
}
