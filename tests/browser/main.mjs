// All trials of the pages, in headless Chromium.

import { runTrials } from "../clients/house.mjs";
import { closeBrowser } from "./person.mjs";
import "./stages.mjs";
import "./captcha.mjs";
import "./hostile.mjs";
import "./links.mjs";
import "./addresses.mjs";
import "./home.mjs";

await runTrials();
await closeBrowser();
