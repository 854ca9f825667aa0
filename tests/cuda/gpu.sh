#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What needs a real GPU; ./test.sh gpu calls it after a build. Each part says by name whether it
# passed, failed or was skipped, and why. The last line counts.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
passed=0 failed=0 skipped=0
run() {
  local name=$1 status=0
  shift
  "$@" || status=$?
  case $status in
    0) echo "passed: $name"; passed=$((passed + 1)) ;;
    77) echo "skipped: $name"; skipped=$((skipped + 1)) ;;
    *) echo "failed: $name"; failed=$((failed + 1)) ;;
  esac
}
# GoogleTest knows no exit status for "all skipped".
gtest() {
  local log
  log=$(mktemp)
  "$@" >"$log" 2>&1
  local status=$?
  cat "$log"
  if [ $status -eq 0 ] && grep -q '^\[  SKIPPED \] [0-9]* test' "$log" && grep -q '^\[  PASSED  \] 0 tests' "$log"; then
    status=77
  fi
  rm -f "$log"
  return $status
}
build=$PWD/build
export GST_PLUGIN_PATH_1_0=$build/gst GST_REGISTRY=$build/gpu.registry CPL_RUNTIME=$build/model/libcpl.so
export CPL_MODEL_PATH=$PWD/weights CPL_CUDA_BACKEND=$build/cuda/libcpl_cuda.so
if [ ! -e "$CPL_CUDA_BACKEND" ]; then
  echo "skipped: everything: this build has no CUDA backend (nvcc, and LibTorch with CUDA: CPL_TORCH=full ./setup.sh)"
  echo "0 passed, 0 failed, 3 skipped"
  exit 0
fi
run "kernels and networks" gtest "$build/tests/cuda/gpu_test"
if [ -e "$build/tests/cuda/gpu_pipeline" ]; then
  run "pipeline without copies" "$build/tests/cuda/gpu_pipeline"
else
  echo "skipped: pipeline without copies: built without GStreamer's CUDA library or CUPTI"
  skipped=$((skipped + 1))
fi
run "throughput and latency" "$build/bench/cuda_frames"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
