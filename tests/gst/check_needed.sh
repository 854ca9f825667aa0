#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_needed.sh PLUGIN: fails when the plugin links to LibTorch or to the runtime, because then it
# could not be scanned where they are missing.
set -eu
needed=$(readelf -d "$1" | grep NEEDED)
if printf '%s\n' "$needed" | grep -E 'libtorch|libc10|libcpl'; then
  echo "$1 must open these at run time, not link to them" >&2
  exit 1
fi
# The list that was searched is not empty.
printf '%s\n' "$needed" | grep -q 'libgstreamer-1.0'
