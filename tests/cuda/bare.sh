#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ./test.sh bare: as on a GPU machine that has no GStreamer: -Dgst=disabled, built into build-bare and
# tested there. CPL_TORCH_DIR=DIR takes any LibTorch from 2.6 on instead of setup.sh's. The last line
# counts the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="build-bare"
options=(-Dgst=disabled)
[ -z "${CPL_TORCH_DIR:-}" ] || options+=("-Dtorch_dir=$CPL_TORCH_DIR")
if [ ! -e "$build"/build.ninja ]; then
  meson setup "$build" "${options[@]}" || { rm -rf $build; exit 1; }
fi
ninja -C "$build" --quiet
status=0
meson test -C "$build" --no-rebuild --print-errorlogs || status=$?
tests/count.py "$build"/meson-logs/testlog.junit.xml || status=1
exit "$status"
