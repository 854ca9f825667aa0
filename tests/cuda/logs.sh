#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ./test.sh cuda-logs: what the CUDA part is, as built here, for docs/cuda.md:
#   tests/logs/cuda-build.txt   with CUDA: configuration, nvcc's command, the libraries that are
#                               linked to, and the architectures, as cuobjdump would list them
#   tests/logs/cuda-stub.txt    without: configuration, and what the element says to device=cuda
#   tests/logs/cuda-host.txt    formats and sizes that the kernels' arithmetic was tested on
# Needs a build with CUDA in build/. The one without goes to build/cuda-stub.
set -euo pipefail
cd "$(dirname "$0")/../.."
logs=tests/logs
home=${HOME%/}
# Paths of this machine say nothing to others.
tidy() { sed -E -e "s|$PWD|.|g" -e "s|$home/.cache/cplrestore|CACHE|g" -e 's/[[:space:]]+$//'; }
summary() { # of a configured build
  meson introspect "$1" --buildoptions >/dev/null
  sed -n '/^  cplrestore$/,/^$/p' "$1/meson-logs/meson-log.txt" | head -n 12
}

[ -e build/cuda/libcpl_cuda.so ] || { echo "cuda-logs: no CUDA backend in build/" >&2; exit 1; }
work=build/cuda-logs
mkdir -p "$work"
{
  echo "# Made by ./test.sh cuda-logs, on a machine with nvcc and without a GPU"
  echo '$ meson setup build'
  summary build
  echo '$ ninja -C build -t commands cuda/kernels.o'
  ninja -C build -t commands cuda/kernels.o | tail -n 1 | fold -sw 150
  echo '$ tests/cuda/list_code.py build/cuda/libcpl_cuda.so'
  tests/cuda/list_code.py build/cuda/libcpl_cuda.so
  echo '$ readelf -d build/cuda/libcpl_cuda.so'
  readelf -d build/cuda/libcpl_cuda.so | grep -E 'NEEDED|RPATH|RUNPATH' | sed -E 's/^ *0x[0-9a-f]+ //'
} | tidy >"$work/cuda-build.txt"

{
  echo "# Made by ./test.sh cuda-logs"
  echo '$ meson setup build/cuda-stub -Dcuda=disabled'
  [ -e build/cuda-stub/build.ninja ] ||
    meson setup build/cuda-stub -Dcuda=disabled -Dtests=false >"$work/stub.log" 2>&1 || { cat "$work/stub.log"; exit 1; }
  summary build/cuda-stub
  echo '$ ninja -C build/cuda-stub gst/libgstcplrestore.so model/libcpl.so'
  ninja -C build/cuda-stub --quiet gst/libgstcplrestore.so model/libcpl.so >"$work/stub.log" 2>&1 || { cat "$work/stub.log"; exit 1; }
  echo "$(grep -c 'error' "$work/stub.log" || true) errors"
  export GST_PLUGIN_PATH_1_0=$PWD/build/cuda-stub/gst GST_REGISTRY=$PWD/$work/stub.registry CPL_MODEL_PATH=$PWD/weights LC_ALL=C.UTF-8
  for device in cuda auto; do
    line="videotestsrc num-buffers=3 ! video/x-raw,format=NV12,width=64,height=48 ! cplrestore device=$device ! fakesink"
    echo "\$ gst-launch-1.0 $line"
    read -ra words <<<"$line"
    timeout 120 gst-launch-1.0 "${words[@]}" 2>&1 | grep -E '^(ERROR|Got EOS|WARNING)' || true
  done
} | tidy >"$work/cuda-stub.txt"

{
  echo "# Made by ./test.sh cuda-logs: frames on which the kernels' arithmetic, compiled for the host, gave the"
  echo "# bits of the CPU's pixel paths and the reference's values: all matrices, ranges and strides, read, written and in place"
  CPL_KERNEL_TABLE=$work/table.txt build/tests/cuda_kernels_test >"$work/kernels.log" 2>&1 || { cat "$work/kernels.log"; exit 1; }
  cat "$work/table.txt"
  grep -E '^\[ *(OK|FAILED|PASSED) *\]' "$work/kernels.log" | sed -E 's/ \([0-9]+ ms( total)?\)//'
} | tidy >"$work/cuda-host.txt"
cp "$work"/cuda-{build,stub,host}.txt "$logs/"
grep -c . "$logs"/cuda-{build,stub,host}.txt
