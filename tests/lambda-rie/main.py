"""Boots every function under AWS's runtime emulator and walks two users through all of them."""

import argparse
import os
import subprocess
import sys

from functions import MACHINE, Function, read_template
from local_services import ROOT, SETTINGS, House
from scenario import Walk


def build(arguments):
    if not arguments.no_build:
        release = [] if arguments.debug else ["--release"]
        subprocess.run(["cargo-lambda", "lambda", "build", *release], cwd=ROOT, check=True)


def walk(wanted):
    with House(SETTINGS, "--no-deliver", "--dynamodb-port=0", "--messages-port=0") as house:
        functions = {
            stem: Function(name, stem, memory, own, house, share_of(wanted, memory))
            for name, (stem, memory, own) in read_template().items()
        }
        try:
            Walk(functions, house).everything()
            return [measured(function) for function in functions.values()]
        finally:
            for function in functions.values():
                function.stop()


def share_of(wanted, memory):
    """With so many MB's part of a processor; without any, it is not shared."""
    if wanted == "own":
        return memory
    return int(wanted) if wanted else None


def measured(function):
    init, first, second, *_ = function.took()
    return function.stem, function.memory, function.package(), init, first, second, function.resident()


def report(rows, markdown):
    heads = ("function", "memory, MB", "zipped, bytes", "init, ms", "first, ms", "second, ms", "most memory, MB")
    lines = [
        (stem, f"{memory:,}", f"{size:,}", f"{init:.1f}", f"{first:.1f}", f"{second:.1f}", f"{resident:.1f}")
        for stem, memory, size, init, first, second, resident in sorted(rows)
    ]
    if markdown:
        for line in [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]:
            print("|", " | ".join(line), "|")
        return
    for line in [heads, *lines]:
        print(f"{line[0]:<46}", *(f"{cell:>15}" for cell in line[1:]))


def main():
    parser = argparse.ArgumentParser(prog="tests/lambda-rie/run", description=__doc__)
    parser.add_argument("--no-build", action="store_true", help="take the functions that are built")
    parser.add_argument("--debug", action="store_true", help="build them quickly, and neither small nor fast")
    parser.add_argument("--markdown", action="store_true", help="print a table for docs/performance.md")
    share = "the part of a processor that Lambda gives for so many MB, or for each function's `own`; needs root"
    parser.add_argument("--memory", metavar="MB", help=share)
    arguments = parser.parse_args()
    build(arguments)
    rows = walk(arguments.memory)
    report(rows, arguments.markdown)
    print(f"{len(rows)} functions answered on {os.cpu_count()} cores ({MACHINE})", file=sys.stderr)


if __name__ == "__main__":
    main()
