// A person at a browser, and all that the browser had to complain of.

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

/** Closes the browser after the last trial. */
export async function closeBrowser() {
  await browser?.close();
}

/** A person with a fresh profile. */
export class Person {
  /** Dialogs, errors on the console, exceptions and violations of a content security policy. */
  complaints = [];

  static async sitDown(options = {}) {
    browser ??= await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ARGUMENTS,
    });
    const person = new Person();
    person.context = await browser.newContext({ locale: "en-GB", ...options });
    person.context.setDefaultTimeout(15_000);
    await person.listen();
    return person;
  }

  async listen() {
    const { context, complaints } = this;
    context.on("dialog", (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    context.on("weberror", (error) => complaints.push(`exception: ${error.error().message}`));
    context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
    });
    await context.exposeBinding("reportViolation", (_, text) => complaints.push(`violation: ${text}`));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        reportViolation(`${event.violatedDirective} ${event.blockedURI} on ${event.documentURI}`);
      });
    });
  }

  /** A page, and the answer it came with. */
  async open(url) {
    const page = await this.context.newPage();
    const answer = await page.goto(url);
    return { page, answer };
  }

  /** Opens the web client, which asks to register at once. */
  async openApp(house, town, prefix, parameters) {
    const query = new URLSearchParams({ base: house.url, prefix, parameters: JSON.stringify(parameters) });
    const { page } = await this.open(`${town.url}/app?${query}`);
    return new App(page);
  }

  /** Nothing was complained of but what is expected: each expectation a pattern that must occur. */
  assertQuiet(...expected) {
    const surprises = this.complaints.filter((one) => !expected.some((pattern) => pattern.test(one)));
    assert.deepEqual(surprises, [], "the browser has nothing to complain of");
    for (const pattern of expected) {
      const found = this.complaints.some((one) => pattern.test(one));
      assert.ok(found, `${pattern} was expected among ${JSON.stringify(this.complaints)}`);
    }
  }
}

/** A person for the time of `use`. */
export async function withPerson(options, use) {
  const person = await Person.sitDown(options);
  try {
    return await use(person);
  } finally {
    await person.context.close();
  }
}

/** What Chromium logs of every answer that is not good: the challenges of a good sign-up among them. */
export const UNAUTHORIZED = /^console: .*status of 401/;

/** The web client in its page. */
class App {
  constructor(page) {
    this.page = page;
  }

  /** The n-th answer to a request to register, as soon as it is there. */
  async answer(index) {
    await this.page.waitForFunction((index) => window.answers.length > index, index);
    return this.page.evaluate((index) => window.answers[index], index);
  }

  /** All that any window has told it. */
  messages() {
    return this.page.evaluate(() => window.messages);
  }

  /** Clicks for the fallback page of the next stage, which opens in a window of its own. */
  async openFallback() {
    await this.answer(0);
    const popup = this.page.waitForEvent("popup");
    await this.page.click("#continue");
    const page = await popup;
    await page.waitForLoadState();
    return page;
  }
}

/** Keeps a picture of the page for whoever wants to look, if SCREENSHOTS names a directory. */
export async function picture(page, name) {
  if (!screenshots) return;
  await mkdir(screenshots, { recursive: true });
  await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
}

/** The page after a completed stage is shown. */
export async function assertThanked(page) {
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
  assert.equal(await page.locator("form").count(), 0);
}

/** The page is `status` and has no scripts, pictures or frames of anybody's making. */
export async function assertInert(page, answer, status) {
  assert.equal(answer.status(), status, answer.url());
  assert.match(answer.headers()["content-type"], /^text\/html; charset=utf-8$/);
  assert.equal(await page.locator("script, svg, img, iframe, object, embed").count(), 0);
  assert.equal(await page.evaluate(() => window.wasHacked), undefined);
}
