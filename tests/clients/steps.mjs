// The steps of an account's life that a client has completed, for the table at the end of `run`.

import { appendFileSync } from "node:fs";

const STEPS = ["signed up", "refreshed", "logged out"];

/**
 * Runs `use` with a function that marks a step as done. Then adds a row to the file that the environment variable
 * STEPS_FILE names.
 */
export async function recordSteps(client, api, use) {
  const done = new Set();
  try {
    return await use((step) => done.add(step));
  } finally {
    const cells = STEPS.map((step) => (done.has(step) ? "yes" : "NO"));
    const file = process.env.STEPS_FILE;
    if (file) appendFileSync(file, `${[client, api, ...cells].join("\t")}\n`);
  }
}
