#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the tables of docs/elements.md that come from gst-inspect-1.0.

    tests/element_docs.py --check | --write

Between `<!-- from gst-inspect-1.0 ELEMENT -->` and `<!-- end -->` stands what tests/gst/inspect/ELEMENT.txt
says, which other tests hold against the element itself.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "elements.md"
NOT_OURS = {"name", "parent"}


def properties(text):
    """(name, blurb, flags, type and default, [(nick, meaning)]) of each property of the element's own."""
    body = text.split("Element Properties:\n", 1)[1]
    for chunk in re.split(r"\n(?=  \S)", "\n" + body):
        lines = chunk.strip("\n").splitlines()
        head = re.match(r"  (\S+) +: (.*)", lines[0]) if lines else None
        if not head or head.group(1) in NOT_OURS:
            continue
        flags = lines[1].strip().removeprefix("flags: ")
        kind = re.sub(r" +", " ", lines[2].strip())
        values = [re.match(r" +\(\S+\): (\S+) +- (.*)", line) for line in lines[3:]]
        yield head.group(1), head.group(2), flags, kind, [v.groups() for v in values if v]


def when(flags):
    if "writable" not in flags:
        return "read only"
    text = "NULL, READY" if "only in NULL or READY" in flags else "any time"
    return text + (", controllable" if "controllable" in flags else "")


def worth(kind, values):
    default = re.search(r'Default: (.*)', kind)
    default = default.group(1) if default else ""
    nick = re.search(r', "(.*)"$', default)
    limits = re.search(r"Range: (\S+) - (\S+)", kind)
    if values:
        return "<br>".join(f"`{name}`: {meaning}" for name, meaning in values), f"`{nick.group(1)}`"
    if limits:
        return f"{limits.group(1)} - {limits.group(2)}", default
    return kind.split(".")[0].split(" of type")[0].split(" \"")[0].lower(), default


def table(text):
    yield "| property | | values | default | may be set |"
    yield "|---|---|---|---|---|"
    for name, blurb, flags, kind, values in properties(text):
        span, default = worth(kind, values)
        cells = (f"`{name}`", blurb, span, default, when(flags))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
    caps = text.split("SINK template", 1)[1]
    caps = caps.split("SRC template", 1)[0]
    for memory, formats in re.findall(r"video/x-raw(?:\(memory:(\w+)\))?\n +format: {(.*?)}", caps):
        where = {"": "system memory", "CUDAMemory": "a GPU's memory"}[memory]
        yield f"Formats in {where}: " + ", ".join(re.findall(r"\(string\)(\w+)", formats)) + ";"
    width = re.search(r"width: \[ (\d+), (\d+) \]", caps)
    height = re.search(r"height: \[ (\d+), (\d+) \]", caps)
    yield f"widths {width.group(1)} to {width.group(2)}, heights {height.group(1)} to {height.group(2)}."


def generated(page):
    def fill(match):
        text = (ROOT / "tests" / "gst" / "inspect" / f"{match.group(1)}.txt").read_text()
        return f"<!-- from gst-inspect-1.0 {match.group(1)} -->\n" + "\n".join(table(text)) + "\n<!-- end -->"

    return re.sub(r"<!-- from gst-inspect-1\.0 (\w+) -->\n.*?<!-- end -->", fill, page, flags=re.S)


def main():
    page = PAGE.read_text()
    assert page.count("<!-- from gst-inspect-1.0 ") == 2, "one table for each element"
    new = generated(page)
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(new)
    elif new != page:
        print(f"{PAGE.relative_to(ROOT)} is not what gst-inspect-1.0 says: tests/element_docs.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
