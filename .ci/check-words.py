#!/usr/bin/env python3
"""Checks that no tracked file contains a word that this project no longer uses.

    .ci/check-words.py               fails with FILE:LINE for each retired word
    .ci/check-words.py --summary     counts the hits for each directory and word
    .ci/check-words.py --word WORD   shows the hits of the patterns that contain WORD
    .ci/check-words.py --set-limits  writes the hits that are left into the list, as `(at most N)`

`.ci/retired-words.txt` has the words, their replacements, and the places where a word may stay.
Needs Python 3.9 or newer and git, and nothing else.
"""

import argparse
import fnmatch
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ".ci/retired-words.txt"
# The list names every retired word, and this script has some for its own test. Lock files and the licence are not
# written by this project.
UNCHECKED = [LIST, ".ci/check-words.py", "*.lock", "*package-lock.json", "LICENSE"]

# The start of a sentence: the start of a line after comment, list and table marks, or the end of another sentence.
SENTENCE_START = r"(?:^[\s/!#>*|\-\"'`(]*|[.:;?!|]\s+|//[/!]?\s+|#\s+)"
# `sendAttempt` and `HOUSE_BUILDS` are each two words.
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Word:
    """A retired word: its pattern, its replacement and the number of hits that may remain."""

    def __init__(self, pattern, replacement, at_most):
        self.pattern = pattern
        self.replacement = replacement
        self.at_most = at_most
        expression = SENTENCE_START + pattern[1:] if pattern.startswith("^") else r"\b" + pattern
        # A pattern without capitals matches in any case. A pattern with capitals is a type or a sentence start.
        flags = re.IGNORECASE if pattern == pattern.lower() else 0
        self.expression = re.compile(expression + r"(?!\w)", flags)

    def found_in(self, line, split):
        """Returns the first hit in the line, or in the line split into words."""
        hit = self.expression.search(line) or self.expression.search(split)
        return hit.group().strip() if hit else None


class Allowance:
    """A word that may stay in some files, for example because it is a stored value."""

    def __init__(self, line, glob, pattern):
        self.line = line
        self.glob = glob
        self.pattern = pattern
        self.is_used = False

    def covers(self, path, word):
        return word.pattern == self.pattern and fnmatch.fnmatch(path, self.glob)


def read_list(text):
    """Returns the words and the allowances of the list. Ends the program if a line is neither."""
    words, allowances = [], []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split(" # ")[0].strip()
        if not line or line.startswith("#"):
            continue
        allow = re.fullmatch(r"allow (\S+): (.+)", line)
        word = re.fullmatch(r"(.+?) -> (.+?)(?: \(at most (\d+)\))?", line)
        if allow:
            allowances.append(Allowance(number, *allow.groups()))
        elif word:
            pattern, replacement, at_most = word.groups()
            words.append(Word(pattern, replacement, int(at_most or 0)))
        else:
            sys.exit(f"{LIST}:{number}: neither `WORD -> REPLACEMENT` nor `allow FILES: WORD`: {line}")
    known = {word.pattern for word in words}
    for allowance in allowances:
        if allowance.pattern not in known:
            sys.exit(f"{LIST}:{allowance.line}: `{allowance.pattern}` is not in the list")
    return words, allowances


def tracked_files():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    for path in sorted(set(names.decode().split("\0"))):
        if path and not any(fnmatch.fnmatch(path, glob) for glob in UNCHECKED):
            yield path


def lines_of(path):
    """Line 0 is the path itself. Files that are deleted, links or not text have no other lines."""
    yield 0, path
    file = ROOT / path
    if file.is_symlink() or not file.is_file():
        return
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    yield from enumerate(text.splitlines(), 1)


def hits_in(path, lines, words, allowances):
    for number, line in lines:
        split = CAMEL_CASE.sub(" ", line).replace("_", " ")
        for word in words:
            text = word.found_in(line, split)
            if text is None:
                continue
            covering = [allowance for allowance in allowances if allowance.covers(path, word)]
            for allowance in covering:
                allowance.is_used = True
            if not covering:
                yield path, number, word, text, line.strip()


def check_matching():
    """Tests this script with a list and a text that has known hits."""
    words, allowances = read_list(
        "house -> server\nVerdict -> StageOutcome\n^who -> the actor\n^Whose -> the noun\nallow data/*: house\n"
    )
    lines = [
        (1, "let test_house = HouseBuilder::new(); // greenhouse"),
        (2, "HOUSE_BUILDS=1"),
        (3, "the verdict of StageVerdict"),
        (4, "/// Who calls it. Those who call it."),
        (5, "A sentence. Whose end?"),
        (6, "households, warehouses"),
    ]
    found = [(number, word.pattern) for _, number, word, *_ in hits_in("a.rs", lines, words, allowances)]
    expected = [(1, "house"), (2, "house"), (3, "Verdict"), (4, "^who"), (5, "^Whose")]
    assert found == expected, found
    allowed = list(hits_in("data/a", lines[:2], words, allowances))
    assert allowed == [] and allowances[0].is_used, allowed


def summarize(hits):
    directories = {}
    for path, _, word, *_ in hits:
        parts = Path(path).parts
        directory = "/".join(parts[: min(2, len(parts) - 1)]) or "."
        directories.setdefault(directory, Counter())[word.pattern] += 1
    for directory, counts in sorted(directories.items(), key=lambda item: -sum(item[1].values())):
        words = ", ".join(f"{word} {count}" for word, count in counts.most_common())
        print(f"{sum(counts.values()):6} {directory}: {words}")
    print(f"{len(hits):6} in all")


def set_limits(counts):
    """Writes the current number of hits of each word into the list, as its limit."""
    lines = []
    for line in (ROOT / LIST).read_text(encoding="utf-8").splitlines():
        word = None if line.startswith("#") else re.fullmatch(r"(.+?) -> (.+?)(?: \(at most \d+\))?", line)
        if word:
            count = counts[word[1]]
            line = f"{word[1]} -> {word[2]}" + (f" (at most {count})" if count else "")
        lines.append(line + "\n")
    (ROOT / LIST).write_text("".join(lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--word")
    parser.add_argument("--set-limits", action="store_true")
    arguments = parser.parse_args()

    check_matching()
    words, allowances = read_list((ROOT / LIST).read_text(encoding="utf-8"))
    if not words:
        sys.exit(f"{LIST} has no words")
    hits = [hit for path in tracked_files() for hit in hits_in(path, lines_of(path), words, allowances)]
    if arguments.word:
        hits = [hit for hit in hits if arguments.word.lower() in hit[2].pattern.lower()]
    if arguments.summary:
        summarize(hits)
        return

    counts = Counter(word.pattern for _, _, word, *_ in hits)
    if arguments.set_limits:
        set_limits(counts)
        return
    failed = False
    for path, number, word, text, line in hits:
        if counts[word.pattern] <= word.at_most and not arguments.word:
            continue
        failed = True
        place = f"{path}:{number}" if number else f"{path}: name of the file"
        print(f"{place}: `{text}` is retired; write {word.replacement}\n    {line[:160]}")
    if arguments.word:
        sys.exit(failed)
    for word in words:
        if counts[word.pattern] < word.at_most:
            print(f"note: `{word.pattern}` has {counts[word.pattern]} hits left; lower its limit of {word.at_most}")
    for allowance in allowances:
        if not allowance.is_used:
            failed = True
            print(f"{LIST}:{allowance.line}: nothing needs this allowance any more; remove it")
    if failed:
        sys.exit("retired words found; `.ci/check-words.py --summary` counts them by directory")


if __name__ == "__main__":
    main()
