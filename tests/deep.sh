#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The checks that take too long for every day; ./test.sh MODE calls them. Logs go to tests/logs/.
#
#   asan       the plugin on the dummy runtime and the readers, under the address and
#              undefined-behaviour sanitizers; builds into build-asan/, without optimisation: that
#              compiles five times as fast, and nothing is optimised away before it is looked at
#   valgrind   the same under valgrind, on build/; takes some minutes
#   soak       100,000 frames of 64x64 through the element on the dummy runtime; fails when the
#              resident memory grows by more than 1 % after the warm-up. soak-real: the real runtime
#   coverage   which lines the tests reach: builds into build-coverage/, runs all tests, and writes
#              build-coverage/coverage/index.html and tests/logs/coverage.txt. Needs gcovr.
#              CPL_COVERAGE_TESTS="pixels pth" builds and runs these only
#   soak-gateway  1,000 reconnects of a camera of cpl-gateway on the dummy runtime; fails when the
#              resident memory or the number of open files grows
set -euo pipefail
cd "$(dirname "$0")/.."
mode=$1
logs=tests/logs
mkdir -p "$logs"

# What needs no LibTorch.
tests=(gst_element gst_needed model_cache safetensors pth pixels degrade)

jobs=$(nproc)

case $mode in
  asan)
    if [ ! -e build-asan/build.ninja ]; then
      meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debug >"$logs/asan-setup.txt" 2>&1 ||
        { cat "$logs/asan-setup.txt"; rm -rf build-asan; exit 1; }
      rm -f "$logs/asan-setup.txt"
    fi
    ninja -C build-asan -j "$jobs" --quiet gst/libgstcplrestore.so tests/gst/libcpl_dummy.so \
      tests/gst/libcpl_dummy_abi.so tests/gst/libcpl_lacking.so tests/gst/gst_element_test \
      tests/{model_cache,safetensors,pth,pixels,degrade}_test
    status=0
    # Whole stacks, or a suppression would have to name g_malloc and hide leaks of ours.
    ASAN_OPTIONS=fast_unwind_on_malloc=0 LSAN_OPTIONS=suppressions=$PWD/tests/gst/lsan.supp \
      UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
      meson test -C build-asan --no-rebuild --print-errorlogs -t 10 "${tests[@]}" \
      2>&1 | sed -u "s, *$,," | tee "$logs/asan.txt" || status=$?
    exit "$status"
    ;;
  valgrind)
    command -v valgrind >/dev/null || { echo "deep: install valgrind (apt-get install valgrind)" >&2; exit 1; }
    ninja -C build -j "$jobs" --quiet gst/libgstcplrestore.so tests/gst/libcpl_dummy.so \
      tests/gst/libcpl_dummy_abi.so tests/gst/libcpl_lacking.so tests/gst/gst_element_test \
      tests/{model_cache,safetensors,pth}_test
    status=0
    # One size of each kind is enough: every byte is looked at here, not every case. Deaths, threads
    # by the thousand and timing are for the other modes.
    G_SLICE=always-malloc G_DEBUG=gc-friendly ORC_CODE=backup \
      GTEST_FILTER='-*FiveHundred*:*AtMostOneASecond*:*MayChangeFromOtherThreads*:*Huge*:MaxLatency.*' \
      meson test -C build --no-rebuild --print-errorlogs -t 30 \
      --wrapper "valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --suppressions=$PWD/tests/gst/valgrind.supp" \
      gst_element model_cache safetensors pth 2>&1 | sed -u "s, *$,," | tee "$logs/valgrind.txt" || status=$?
    exit "$status"
    ;;
  soak | soak-real)
    if [ "$mode" = soak ]; then runtime=tests/gst/libcpl_dummy.so; else runtime=model/libcpl.so; fi
    ninja -C build -j "$jobs" --quiet gst/libgstcplrestore.so "$runtime" tests/gst/gst_soak
    status=0
    GST_PLUGIN_PATH_1_0=$PWD/build/gst GST_REGISTRY=$PWD/build/soak.registry CPL_RUNTIME=$PWD/build/$runtime \
      CPL_MODEL_PATH=$PWD/weights CPL_SOAK_MODEL=${CPL_SOAK_MODEL:-$([ "$mode" = soak ] && echo clean-odd || echo live)} \
      build/tests/gst/gst_soak "${CPL_SOAK_FRAMES:-100000}" >"$logs/$mode.tsv" || status=$?
    python3 tests/plot_soak.py "$logs/$mode.tsv" "$logs/$mode.svg"
    exit "$status"
    ;;
  coverage)
    command -v gcovr >/dev/null || { echo "deep: install gcovr (apt-get install gcovr)" >&2; exit 1; }
    [ -e build-coverage/build.ninja ] ||
      meson setup build-coverage -Db_coverage=true -Dbuildtype=debug >/dev/null ||
      { rm -rf build-coverage; exit 1; }
    chosen=() targets=()
    for name in ${CPL_COVERAGE_TESTS:-}; do
      chosen+=("$name")
      case $name in
        gst_element)
          targets+=(gst/libgstcplrestore.so tests/gst/{gst_element_test,libcpl_dummy.so,libcpl_dummy_abi.so,libcpl_lacking.so})
          ;;
        *) targets+=("tests/${name}_test") ;;
      esac
    done
    ninja -C build-coverage -j "$jobs" --quiet "${targets[@]}"
    find build-coverage -name '*.gcda' -delete
    status=0
    # Counting makes everything slower: the timeouts are for those who do not count.
    meson test -C build-coverage --no-rebuild --print-errorlogs -t 5 "${chosen[@]}" || status=$?
    mkdir -p build-coverage/coverage
    gcovr -r . --object-directory build-coverage -j "$jobs" --exclude-unreachable-branches --exclude-throw-branches \
      -e tests -e bench -e build -e build-coverage \
      --html-details build-coverage/coverage/index.html --txt build-coverage/coverage/coverage.txt
    # Only files that were built are counted: a list of a few tests says little of the others.
    { echo "# ./test.sh coverage, tests: ${CPL_COVERAGE_TESTS:-all}"; cut -c 1-72 build-coverage/coverage/coverage.txt | sed "s, *$,,"; } >"$logs/coverage.txt"
    tail -n 3 "$logs/coverage.txt"
    exit "$status"
    ;;
  soak-gateway)
    ninja -C build -j "$jobs" --quiet gst/libgstcplrestore.so tests/gst/libcpl_dummy.so \
      examples/gateway/cpl-gateway tests/gateway/gateway_soak
    status=0
    # One arena: with one for each of the threads that come and go, glibc spreads the same memory
    # over more pages for hundreds of reconnects, which hides a small leak. 0 is glibc's own choice.
    MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-1} \
      GST_REGISTRY=$PWD/build/soak.registry CPL_RUNTIME=$PWD/build/tests/gst/libcpl_dummy.so \
      GST_PLUGIN_PATH_1_0=$PWD/build/gst build/tests/gateway/gateway_soak "${CPL_SOAK_RECONNECTS:-1000}" \
      >"$logs/$mode.tsv" || status=$?
    python3 tests/plot_soak.py "$logs/$mode.tsv" "$logs/$mode.svg"
    exit "$status"
    ;;
  *)
    echo "deep: unknown mode '$mode' (see the head of this script)" >&2
    exit 2
    ;;
esac
