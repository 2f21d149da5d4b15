#!/usr/bin/env python3
"""Checks the links of all Markdown files in the tree, without the network.

- Each relative link must lead to a file or directory, and its anchor to a heading or an `id` there.
- Each path in backquotes that begins with a directory of the project (`tests/browser/run`) must exist.
- Each page of the book (`docs/`) must be in its table of contents, `docs/SUMMARY.md`.

Needs Python 3.9 or newer and git, and nothing else.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
BOOK = Path("docs")

FENCE = re.compile(r"^\s*(```+|~~~+)")
# A code span may continue on the next line of its paragraph.
CODE = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n)[\s\S])+?)(?<!`)\1(?!`)")
# [text](target "title"), ![text](target), and [label]: target at the start of a line. The text may contain an image.
INLINE_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\](?:\([^()]*\))?)*\]\(\s*(<[^<>]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)[^()]*\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*\b(?:href|src)=[\"']([^\"']+)[\"']")
HTML_ID = re.compile(r"<\w+\b[^>]*\b(?:id|name)=[\"']([^\"']+)[\"']")
HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:|^//", re.IGNORECASE)
# A path in backquotes; a line number or arguments may follow it.
PATH = re.compile(r"^([\w.-]+(?:/[\w.-]+)+/?)(?::\d+)?(?:\s.*)?$")


def markdown_files():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return [Path(name) for name in sorted(set(names.decode().split("\0"))) if name and (ROOT / name).is_file()]


def prose(text):
    """Returns the Markdown text with empty lines in place of code blocks."""
    lines, fence = [], None
    for line in text.splitlines():
        mark = FENCE.match(line)
        is_code = fence is not None or mark is not None
        if mark and fence is None:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = None
        lines.append("" if is_code else line)
    return "\n".join(lines)


def anchor(heading):
    """Returns the anchor that GitHub and mdBook generate for a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"<[^>]*>", "", text).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(text):
    found, seen = set(), {}
    for line in prose(text).splitlines():
        found.update(HTML_ID.findall(line))
        heading = HEADING.match(line)
        if heading:
            name = anchor(heading[1])
            times = seen.get(name, 0)
            seen[name] = times + 1
            found.add(f"{name}-{times}" if times else name)
    return found


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def links(text):
    """Yields line and target of each link in a text without code blocks. Text in backquotes is not a link."""
    bare = CODE.sub(lambda code: re.sub(r"[^\n]", "x", code[0]), text)
    for pattern in (INLINE_LINK, REFERENCE, HTML_LINK):
        for link in pattern.finditer(bare):
            yield line_of(bare, link.start(1)), link[1].strip("<>")


def paths(text):
    """Yields line and content of each code span in a text without code blocks."""
    for code in CODE.finditer(text):
        yield line_of(text, code.start()), code[2]


def missing_target(page, target, read):
    """Returns the reason why the target of a link does not exist, or None."""
    if EXTERNAL.match(target):
        return None
    path, _, fragment = target.partition("#")
    path = unquote(path.partition("?")[0])
    if path.startswith("/"):
        return "a link must be relative to the page that it is on"
    file = (ROOT / page.parent / path).resolve() if path else ROOT / page
    if not file.exists():
        return "no such file"
    if ROOT not in file.parents and file != ROOT:
        return "leads out of the project"
    if fragment and file.suffix == ".md" and unquote(fragment) not in anchors(read(file)):
        return "no such heading"
    return None


def missing_path(page, code, directories):
    """Returns the path in a code span if it does not exist, otherwise None."""
    match = PATH.match(code)
    if not match or match[1].split("/")[0] not in directories:
        return None
    path = match[1]
    return None if (ROOT / path).exists() or (ROOT / page.parent / path).exists() else path


def check_itself():
    text = "# A `b` & c!\n\n```\n# no heading\n[x](gone.md)\n```\n\n## Twice\n## Twice\n<a id=\"own\"></a>\n"
    assert anchors(text) == {"a-b--c", "twice", "twice-1", "own"}, anchors(text)
    line = "[a](x.md#y), `[b](no.md)`, ![c](d.png \"title\"), [![e](f.svg)](g.md)\n[two\nlines](z.md) `a\n[b](no.md)`"
    assert list(links(line)) == [(1, "x.md#y"), (1, "d.png"), (1, "g.md"), (3, "z.md")], list(links(line))
    assert list(links("text\n[label]: z.md")) == [(2, "z.md")]
    assert list(links("<a\nhref=\"h.md\">")) == [(2, "h.md")]
    assert list(paths("a\n`b` ``c ` d``")) == [(2, "b"), (2, "c ` d")]
    assert missing_target(Path("README.md"), "no-such-file.md", None) == "no such file"
    assert missing_target(Path("README.md"), "#no-such-heading", lambda _: text) == "no such heading"
    assert missing_path(Path("README.md"), "docs/no-such-file.md:3", {"docs"}) == "docs/no-such-file.md"
    assert missing_path(Path("README.md"), "application/json", {"docs"}) is None


def main():
    check_itself()
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    directories = {name.split("/")[0] for name in tracked.decode().split("\0") if "/" in name}
    texts = {}

    def read(file):
        if file not in texts:
            texts[file] = file.read_text(encoding="utf-8")
        return texts[file]

    faults, checked, in_contents = [], 0, set()
    pages = markdown_files()
    for page in pages:
        # The changelog describes releases whose files may no longer exist.
        is_history = page.name == "CHANGELOG.md"
        text = prose(read(ROOT / page))
        for number, target in links(text):
            checked += 1
            reason = missing_target(page, target, read)
            if reason:
                faults.append(f"{page}:{number}: {target}: {reason}")
            if page == BOOK / "SUMMARY.md":
                in_contents.add((ROOT / BOOK / target.partition("#")[0]).resolve())
        for number, code in [] if is_history else paths(text):
            path = missing_path(page, code, directories)
            if path:
                faults.append(f"{page}:{number}: `{path}`: no such file")
    if in_contents:
        for page in pages:
            if page.parts[0] == str(BOOK) and page.name != "SUMMARY.md" and (ROOT / page) not in in_contents:
                faults.append(f"{page}: not in {BOOK}/SUMMARY.md, so the book does not have it")

    for fault in faults:
        print(fault)
    print(f"{checked} links in {len(pages)} files, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
