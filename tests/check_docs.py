#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands that the documentation tells people to type.

    tests/check_docs.py BUILD [FILE...]

Every block of ```sh in README.md, HACKING.md, docs/, the READMEs of examples/, bench/ and tests/ and the
cards of weights/ carries one of two marks in the line before it:

    <!-- run -->               the block is run, after those of the same file before it, and must succeed
    <!-- not run: WHY -->      it needs a camera, a GPU, a screen, data, an hour: only its syntax is checked

Blocks run in a folder that looks like the clone (links to everything in it) and also holds rainy.mp4, a
video of a second, and photos/ and clips/, as training and evaluation want them. Links between the pages
are followed too.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARK = re.compile(r"<!-- (run|not run: \S.*) -->")


def pages():
    yield from (ROOT / "README.md", ROOT / "HACKING.md")
    yield from sorted((ROOT / "docs").glob("*.md"))
    for folder in ("examples", "bench", "tests"):
        yield from sorted((ROOT / folder).glob("**/README.md"))
    yield from sorted((ROOT / "weights").glob("*.md"))


def blocks(page):
    """(line, mark or None, text) of each block of sh."""
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        if lines[number].startswith("```"):
            begin, language = number, lines[number][3:].strip()
            number += 1
            while number < len(lines) and not lines[number].startswith("```"):
                number += 1
            if language == "sh":
                mark = MARK.fullmatch(lines[begin - 1].strip()) if begin else None
                yield begin + 1, mark and mark.group(1), "\n".join(lines[begin + 1 : number]) + "\n"
        number += 1


COMMAND = re.compile(r"( {4}|\t)?(\$ |\./|gst-|cpl |meson |ninja |apt-get |python3? |build/|bench/|tests/|podman )")


def unmarked(page):
    """Lines that look like commands and would go unmarked: indented ones, and blocks of no language or another shell's."""
    language = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
        elif language is None:
            if line.startswith(("    ", "\t")) and COMMAND.match(line):
                yield number
        elif language in ("", "bash", "console", "shell") and COMMAND.match(line):
            yield number


def broken_links(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and not (page.parent / target).exists():
            yield target


def shell(script, folder, environment, options=()):
    return subprocess.run(["bash", *options, "-c", script], cwd=folder, env=environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)


def furnish(folder, build, environment):
    for entry in ROOT.iterdir():
        if entry.name not in (".git", "build", "out"):
            (folder / entry.name).symlink_to(entry)
    (folder / "build").symlink_to(build)
    made = shell("""set -e
        source='videotestsrc num-buffers=30 pattern=ball'
        size=video/x-raw,format=I420,width=160,height=120,framerate=30/1
        gst-launch-1.0 -q $source ! $size ! cpldegrade kind=rain ! x264enc ! h264parse ! mp4mux ! filesink location=rainy.mp4
        gst-launch-1.0 -q $source ! $size ! x264enc ! h264parse ! mp4mux ! filesink location=clear.mp4
        mkdir -p photos pairs/rain/target
        cp tests/data/sample-*.png photos/
        cp photos/*.png pairs/rain/target/
        cpl degrade pairs/rain/target pairs/rain/input --kind rain --seed 1
        """, folder, environment)
    if made.returncode != 0:
        sys.exit("the example files could not be made:\n" + made.stdout)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    chosen = [pathlib.Path(name).resolve() for name in sys.argv[2:]] or list(pages())
    environment = dict(os.environ, PATH=f"{build / 'train'}:{os.environ['PATH']}",
                       GST_PLUGIN_PATH_1_0=str(build / "gst"), GST_REGISTRY_1_0=str(build / "docs.registry"),
                       LC_ALL="C.UTF-8")
    ran = checked = 0
    failures = []
    for page in chosen:
        name = page.relative_to(ROOT)
        failures += [f"{name}: there is no {target}" for target in broken_links(page)]
        failures += [f"{name}:{line}: a command outside of a block of ```sh" for line in unmarked(page)]
        folder = pathlib.Path(tempfile.mkdtemp())
        furnished = False
        try:
            for line, mark, text in blocks(page):
                where = f"{name}:{line}"
                syntax = shell(text, folder, environment, ["-n"])
                if mark is None:
                    failures.append(f"{where}: not marked as run or not run (see {pathlib.Path(__file__).name})")
                elif syntax.returncode != 0:
                    failures.append(f"{where}: {syntax.stdout}")
                elif mark == "run":
                    if not furnished:
                        furnish(folder, build, environment)
                        furnished = True
                    result = shell("set -e\n" + text, folder, environment)
                    ran += 1
                    if result.returncode != 0:
                        failures.append(f"{where}: status {result.returncode}\n{result.stdout[-2000:]}")
                else:
                    checked += 1
        finally:
            shutil.rmtree(folder)
    for failure in failures:
        print("FAILED:", failure)
    print(f"{ran} blocks run, {checked} only checked, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
