#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_inspect.sh ELEMENT FILE: fails unless gst-inspect-1.0 describes the element as FILE does. What
# depends on the machine is left out on both sides. To take a change over:
#   CPL_UPDATE_INSPECT=1 meson test -C build --suite gst && tests/element_docs.py --write
set -eu
# Other versions lay the text out in other ways.
if ! gst-inspect-1.0 --version | grep -q ' 1\.22\.'; then
  echo "written for GStreamer 1.22" >&2
  exit 77
fi
here=$(mktemp)
trap 'rm -f "$here"' EXIT
gst-inspect-1.0 --no-colors "$1" |
  grep -vE '^  (Filename|Version|Source release date|Binary package|Origin URL) ' |
  sed -E 's/[[:space:]]+$//' >"$here"
if [ -n "${CPL_UPDATE_INSPECT:-}" ]; then
  cp "$here" "$2"
fi
diff -u "$2" "$here"
