"""Compares the results of sytest with those that sytest.txt expects: `summarize.py EXPECTED TAP FILE...`."""

import pathlib
import re
import sys

# `ok 3 (expected fail) A name (2 subtests) # skip lack of something`
RESULT = re.compile(r"^(ok|not ok) \d+ (.*?)(?: \(\d+ subtests\))?(?: # skip (.*))?$")


def read_expected(path, files):
    """Returns the tests of these files by name, each with the reason why it cannot pass, or None if it must pass."""
    expected, wanted = {}, False
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("tests/"):
            wanted = line in files
        elif wanted and line and not line.startswith("#"):
            name, _, reason = line.removeprefix("- ").partition(" | ")
            if line.startswith("- ") != bool(reason):
                sys.exit(
                    f"{path}: a line must have a reason behind ` | ` if and only if it begins with `- `: {line}"
                )
            expected[name] = reason or None
    return expected


def read_results(path):
    """Returns the outcome of each test (`passed`, `skipped` or `failed`) and the output of sytest for it.

    An error in the log of gatehouse-local counts as a failed test with the log line as its name."""
    results, name = {}, None
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if found := RESULT.match(line):
            status, name, skipped = found.groups()
            outcome = "skipped" if skipped else "passed" if status == "ok" else "failed"
            results[name] = (outcome, [skipped] if skipped else [])
        elif line.startswith("#** gatehouse-local: "):
            results[line] = ("failed", [])
        elif name and line.startswith("# "):
            results[name][1].append(line[2:])
    return results


def main():
    """Prints every listed test that must pass, every unexpected outcome and the totals."""
    expected_path, results_path, *files = sys.argv[1:]
    expected, results = read_expected(expected_path, files), read_results(results_path)
    passed = failed = 0
    for name in [*expected, *(name for name in results if name not in expected)]:
        outcome, output = results.get(name, ("not run", []))
        if name not in expected:
            problem = f"{outcome}, but not listed"
        elif expected[name] is None:
            problem = None if outcome == "passed" else outcome
        else:
            problem = "passed, but is listed with a reason why it cannot" if outcome == "passed" else None
            if problem is None:
                continue
        passed, failed = passed + (not problem), failed + bool(problem)
        print(f"FAIL  {name}: {problem}" if problem else f"ok    {name}")
        if problem:
            print("".join(f"      {line}\n" for line in output), end="")
    excluded = sum(reason is not None for reason in expected.values())
    print(f"{excluded} excluded, each with its reason in {pathlib.Path(expected_path).name}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed or not passed))


main()
