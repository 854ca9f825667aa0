#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the closing line of ./test.sh from meson's JUnit report, and fails if nothing ran."""
import sys
import xml.etree.ElementTree as xml

cases = list(xml.parse(sys.argv[1]).iter("testcase"))
failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
skipped = [c for c in cases if c.find("skipped") is not None and c not in failed]
for case in failed:
    print("failed:", case.get("classname", ""), case.get("name"))
passed = len(cases) - len(failed) - len(skipped)
tail = f", {len(skipped)} skipped" if skipped else ""
print(f"{passed} passed, {len(failed)} failed{tail}")
sys.exit(0 if passed and not failed else 1)
