"""Runs a scenario with two users through every function under the AWS Lambda Runtime Interface Emulator."""

import argparse
import os
import subprocess
import sys

from functions import ARCHITECTURE, Function, read_template
from local_services import ROOT, SETTINGS, LocalServices
from scenario import HOMESERVER, Scenario


def build(arguments):
    if not arguments.no_build:
        release = [] if arguments.debug else ["--release"]
        subprocess.run(["cargo-lambda", "lambda", "build", *release], cwd=ROOT, check=True)


def run_scenario(cpu):
    with LocalServices(SETTINGS, "--no-deliver", "--dynamodb-port=0", "--messages-port=0") as services:
        functions = {
            stem: Function(name, stem, memory, own | HOMESERVER.get(stem, {}), services, cpu_quota_mb(cpu, memory))
            for name, (stem, memory, own) in read_template().items()
        }
        try:
            Scenario(functions, services).run()
            return [measurements(function) for function in functions.values()]
        finally:
            for function in functions.values():
                function.stop()


def cpu_quota_mb(cpu, memory):
    """Returns the memory size whose CPU share a function gets, or None for no limit."""
    if cpu == "own":
        return memory
    return int(cpu) if cpu else None


def measurements(function):
    init, first, second, *_ = function.durations_ms()
    return (
        function.stem,
        function.memory,
        function.package_size(),
        init,
        first,
        second,
        function.peak_memory_mb(),
    )


def report(rows, markdown):
    heads = (
        "function",
        "memory, MB",
        "zipped, bytes",
        "init, ms",
        "first, ms",
        "second, ms",
        "most memory, MB",
    )
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
    parser.add_argument("--no-build", action="store_true", help="use the functions that are already built")
    parser.add_argument("--debug", action="store_true", help="build without optimizations")
    parser.add_argument("--markdown", action="store_true", help="print a table for docs/performance.md")
    memory_help = (
        "limit the CPU to the share that Lambda gives for this memory size, "
        "or for that of each function if MB is `own`; needs root"
    )
    parser.add_argument("--memory", metavar="MB", help=memory_help)
    arguments = parser.parse_args()
    build(arguments)
    rows = run_scenario(arguments.memory)
    report(rows, arguments.markdown)
    print(f"{len(rows)} functions responded on {os.cpu_count()} cores ({ARCHITECTURE})", file=sys.stderr)


if __name__ == "__main__":
    main()
