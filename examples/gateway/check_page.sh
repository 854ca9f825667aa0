#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check_page.sh URL [SHOT.png]: opens the gateway's page in a headless browser (Debian's chromium), as
# a person would, and looks whether each live camera shows its two pictures. With a second argument a
# picture of the page is left there. Exit status 77 where chromium is not installed.
#
#   examples/gateway/check_page.sh http://127.0.0.1:9554/ page.png
set -euo pipefail
url=$1
browser=$(command -v chromium || command -v chromium-browser || true)
if [ -z "$browser" ]; then
  echo "check_page: skipped: chromium is not installed"
  exit 77
fi
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
run() {
  # Its own sandbox needs rights that containers do not give; the page is ours. Time is virtual and
  # stands still while the page waits for the network.
  HOME=$home timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$home/profile" --window-size=1280,900 --hide-scrollbars \
    --virtual-time-budget=12000 "$@" "$url" 2>"$home/errors"
}
run --dump-dom >"$home/dom" || { cat "$home/errors" >&2; exit 1; }
python3 - "$home/dom" <<'PYTHON'
import html.parser
import sys


class Page(html.parser.HTMLParser):
    """Counts cards, live ones, and pictures that were loaded into cards."""

    def __init__(self):
        super().__init__()
        self.inert, self.cards, self.live, self.pictures, self.summary = 0, 0, 0, 0, ""
        self.in_summary = False

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        classes = (values.get("class") or "").split()
        if tag == "template":
            self.inert += 1
        if self.inert:
            return
        self.cards += "card" in classes
        self.live += "state" in classes and "live" in classes
        self.pictures += tag == "img" and "snapshot/" in (values.get("src") or "")
        self.in_summary = values.get("id") == "summary"

    def handle_endtag(self, tag):
        self.inert -= tag == "template"
        self.in_summary = False

    def handle_data(self, data):
        if self.in_summary:
            self.summary += data


page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
print(f"check_page: '{page.summary}', {page.cards} cards, {page.live} live, {page.pictures} pictures")
if page.cards == 0 or page.live == 0 or page.pictures != 2 * page.live:
    sys.exit("check_page: the page does not show what it should")
PYTHON
if grep -E 'Refused to|Uncaught' "$home/errors"; then
  echo "check_page: the browser complains" >&2
  exit 1
fi
if [ $# -gt 1 ]; then
  run --screenshot="$home/shot.png" || { cat "$home/errors" >&2; exit 1; }
  cp "$home/shot.png" "$2"
fi
