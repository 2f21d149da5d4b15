// A small test runner, shared by the JavaScript tests.

const tests = [];

/** Adds a test. Its name begins with the ID of the requirement that it tests. */
export function test(name, run) {
  tests.push({ name, run });
}

/** Runs the tests whose names contain the first command-line argument, or all of them, and sets the exit code. */
export async function runTests() {
  const [, , filter = ""] = process.argv;
  let [passed, failed] = [0, 0];
  for (const { name, run } of tests.filter((test) => test.name.includes(filter))) {
    try {
      await withTimeout(120_000, run());
      passed += 1;
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${String(error?.stack ?? error).replace(/^/gm, "      ")}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

function withTimeout(milliseconds, promise) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
