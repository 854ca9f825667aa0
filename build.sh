#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds into build/. Extra arguments go to `meson setup` on the first run: ./build.sh -Dtests=false
set -euo pipefail
cd "$(dirname "$0")"
if [ ! -e build/build.ninja ]; then
  meson setup build "$@" >build-setup.log 2>&1 || { cat build-setup.log; rm -f build-setup.log; exit 1; }
  rm -f build-setup.log
fi
# LibTorch's headers take over 1 GB a compiler: no more jobs than memory and CPUs carry.
memory=$(awk '/MemAvailable/ { print int($2 / 1500000) }' /proc/meminfo)
jobs=$(nproc)
[ "$memory" -ge "$jobs" ] || jobs=$((memory > 1 ? memory : 1))
ninja -C build -j "$jobs" --quiet
