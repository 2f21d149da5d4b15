"""Compares what sytest said with what sytest.txt expects: `summarize.py EXPECTED TAP FILE...`."""

import pathlib
import re
import sys

# `ok 3 (expected fail) A name (2 subtests) # skip lack of something`
RESULT = re.compile(r"^(ok|not ok) \d+ (.*?)(?: \(\d+ subtests\))?(?: # skip (.*))?$")


def read_expected(path, files):
    """The tests of these files by name: why each cannot pass, or None if it must."""
    expected, wanted = {}, False
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("tests/"):
            wanted = line in files
        elif wanted and line and not line.startswith("#"):
            name, _, reason = line.removeprefix("- ").partition(" | ")
            if line.startswith("- ") != bool(reason):
                sys.exit(f"{path}: a test that is left out has a reason, and no other has: {line}")
            expected[name] = reason or None
    return expected


def read_results(path):
    """What became of each test: `passed`, `skipped` or `failed`; and what sytest said of it.

    A failure that the service logged is a test that failed, under its own words."""
    results, name = {}, None
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if found := RESULT.match(line):
            verdict, name, skipped = found.groups()
            became = "skipped" if skipped else "passed" if verdict == "ok" else "failed"
            results[name] = (became, [skipped] if skipped else [])
        elif line.startswith("#** gatehouse-local: "):
            results[line] = ("failed", [])
        elif name and line.startswith("# "):
            results[name][1].append(line[2:])
    return results


def main():
    """Prints what is not as expected, and the counts."""
    expected_path, results_path, *files = sys.argv[1:]
    expected, results = read_expected(expected_path, files), read_results(results_path)
    passed = failed = 0
    for name in [*expected, *(name for name in results if name not in expected)]:
        became, said = results.get(name, ("not run", []))
        if name not in expected:
            fault = f"{became}, and not known"
        elif expected[name] is None:
            fault = None if became == "passed" else became
        else:
            fault = "passes, though it was left out" if became == "passed" else None
            if fault is None:
                continue
        passed, failed = passed + (not fault), failed + bool(fault)
        print(f"FAIL  {name}: {fault}" if fault else f"ok    {name}")
        if fault:
            print("".join(f"      {line}\n" for line in said), end="")
    left = sum(reason is not None for reason in expected.values())
    print(f"{left} left out, each with its reason in {pathlib.Path(expected_path).name}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed or not passed))


main()
