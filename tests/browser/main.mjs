// Runs all browser tests in headless Chromium.

import { runTests } from "../clients/test-runner.mjs";
import { closeBrowser } from "./browser-user.mjs";
import "./account.mjs";
import "./stages.mjs";
import "./captcha.mjs";
import "./hostile-input.mjs";
import "./email-links.mjs";
import "./threepids.mjs";
import "./oauth.mjs";
import "./oauth-attacks.mjs";
import "./accessibility.mjs";
import "./account-pages.mjs";
import "./dev-ui.mjs";

await runTests();
await closeBrowser();
