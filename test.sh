#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
#   ./test.sh         sets up, builds into build/ and runs every test
#   ./test.sh quick   builds and runs the tests, without looking whether the set-up is complete
#   ./test.sh asan|valgrind|soak|soak-real|soak-gateway|coverage   see tests/deep.sh
#   ./test.sh packages   see tests/packages.sh
#   ./test.sh image      builds the container image and runs it, see tests/image.sh
#   ./test.sh gpu     builds and runs what needs a real GPU; names what it skips
#   ./test.sh bare    builds kernels, networks and their tests without GStreamer, and runs them
#   ./test.sh gst-newer   the element on a newer GStreamer, see tests/cuda/gst_newer.py
#   ./test.sh cuda-logs   see tests/cuda/logs.sh
#   ./test.sh fuzz [SECONDS [TARGET...]]     see tests/fuzz/run.sh
#
# The last line counts the tests: "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")"

case ${1:-all} in
  all) ./setup.sh && tests/style.sh ;;
  quick) ;;
  gpu) ./build.sh && exec tests/cuda/gpu.sh ;;
  bare) exec tests/cuda/bare.sh ;;
  gst-newer) exec tests/cuda/gst_newer.py ;;
  cuda-logs) exec tests/cuda/logs.sh ;;
  fuzz) exec tests/fuzz/run.sh "${@:2}" ;;
  packages) ./build.sh && exec tests/packages.sh ;;
  image) exec tests/image.sh ;;
  asan | valgrind | soak | soak-real | soak-gateway | coverage) exec tests/deep.sh "$1" ;;
  *) echo "test: unknown argument '$1' (see the head of this script)" >&2; exit 2 ;;
esac
./build.sh
status=0
meson test -C build --no-rebuild --print-errorlogs || status=$?
tests/count.py build/meson-logs/testlog.junit.xml || status=1
exit "$status"
