#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
#   tests/fuzz/run.sh [SECONDS [TARGET...]]   runs the fuzz targets for so long each (default 60)
#
# Builds into build/fuzz with clang, libFuzzer and the address and undefined-behaviour sanitizers. The
# last run of each target goes into tests/logs/fuzz.log. What it learns stays in build/fuzz/corpus; the
# input of a crash belongs into tests/fuzz/corpus/TARGET once the bug is mended. LibTorch and meson are
# not needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
case $seconds in '' | *[!0-9]*) echo "fuzz: '$seconds' is no number of seconds" >&2; exit 2 ;; esac
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(pickle zip safetensors)
compiler=${CXX_FUZZ:-clang++}
if ! command -v "$compiler" >/dev/null; then
  echo "fuzz: installing clang" >&2
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    clang libclang-rt-dev >/dev/null
fi

out=build/fuzz
mkdir -p "$out" tests/logs
# The library that model/meson.build calls cplfile.
sources=$(sed -n "/'cplfile'/,/^)/s/^ *'\(.*\.cc\)',$/model\/\1/p" model/meson.build)
flags=(-std=c++20 -O1 -g -fno-omit-frame-pointer -I. -Imodel/include
  "-fsanitize=address,undefined" "-fno-sanitize-recover=all")
objects=()
for source in $sources; do
  object=$out/$(basename "$source" .cc).o
  objects+=("$object")
  [ "$object" -nt "$source" ] && [ -z "$(find model -name '*.h' -newer "$object")" ] && continue
  "$compiler" "${flags[@]}" -fsanitize=fuzzer-no-link -c -o "$object" "$source"
done

status=0
for target in "${targets[@]}"; do
  "$compiler" "${flags[@]}" -fsanitize=fuzzer -o "$out/${target}_fuzz" "tests/fuzz/${target}_fuzz.cc" \
    "${objects[@]}"
  mkdir -p "$out/corpus/$target"
  seeds=("tests/fuzz/corpus/$target")
  [ "$target" != zip ] || seeds+=(tests/fixtures/pth tests/fixtures/pth/refused)
  echo "fuzz: $target, $seconds s"
  result="no crash"
  nice -n 19 "$out/${target}_fuzz" -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=512 \
    -timeout=60 -dict="tests/fuzz/$target.dict" -artifact_prefix="$out/$target-" -print_final_stats=1 \
    "$out/corpus/$target" "${seeds[@]}" >"$out/$target.log" 2>&1 || result=FAILED
  [ "$result" = "no crash" ] || status=1
  {
    echo "$target: $result in $seconds s"
    grep -E '^#[0-9]+.*DONE|^stat::|ERROR|SUMMARY|Test unit written' "$out/$target.log" || true
    echo
  } >"$out/$target.summary"
done
{
  echo "Fuzzing of the readers. $("$compiler" --version | head -n 1), libFuzzer, address and"
  echo "undefined-behaviour sanitizers; limits: 16 KiB an input, 512 MiB, 60 s."
  echo
  cat "$out"/*.summary
} >tests/logs/fuzz.log
cat tests/logs/fuzz.log
exit "$status"
