#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Where the time of a frame goes: samples contenders of exec_bench with perf, one after the other,
# and adds up what they were doing.
#
#   bench/profile.sh [WIDTHxHEIGHT [THREADS [ROUNDS]]]
#   bench/profile.sh --pid PID SECONDS          a program that runs, a training for example
#
# Needs perf (Debian: linux-perf), the right to sample, and build/bench/exec_bench.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bench=$here/../build/bench/exec_bench
data=$(mktemp)
trap 'rm -f "$data"' EXIT

report() {
  perf report -q -i "$data" --no-children --sort dso,symbol -F overhead,dso,symbol -t '|' 2>/dev/null |
    "$here/profile_groups.py"
}

if [ "${1:-}" = --pid ]; then
  perf record -q -e cpu-clock -F 199 -p "$2" -o "$data" -- sleep "$3" >/dev/null
  report
  exit
fi
for contender in float32-libtorch float32-frame bfloat16-frame int8-frame; do
  "$bench" "${1:-1280x720}" "${2:-2}" 1 $contender >/dev/null 2>&1 || continue
  echo "$contender: $(perf record -q -e cpu-clock -F 499 -o "$data" \
    "$bench" "${1:-1280x720}" "${2:-2}" "${3:-60}" $contender 2>/dev/null)"
  report
done
