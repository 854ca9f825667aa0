#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The paper's network, ours against PyTorch's eager, channels_last and torch.compile: same weights, threads
# and precision, taking turns in one run. Needs a build (./build.sh) and sets up what else it needs:
# PyTorch's whole wheel with its CUDA libraries (5 GB) in a virtual environment outside the clone.
#
#   bench/paper_network/run.sh [--sizes 256x256,640x480] [--threads 2] [--rounds 3] [--json FILE]
#
# BUILD names another build folder (default: build). KEEP_MEMORY=1 has the C library keep freed memory instead of
# giving it back to the system with every large tensor: that is what PyTorch's speed depends on most where page
# faults are dear, as on virtual machines, and the fairer comparison. Ours allocates little in a run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
build=${BUILD:-$root/build}
version=$(sed -n 's/^TORCH_VERSION=//p' "$root/setup.sh")
venv=${CPL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cplrestore}/bench-torch-$version
if [ ! -e "$venv/.complete" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --no-compile "torch==$version" numpy safetensors
  touch "$venv/.complete"
fi
if [ "${KEEP_MEMORY:-0}" = 1 ]; then
  export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
fi
ninja -C "$build" --quiet bench/paper_network
exec "$venv/bin/python" "$here/run.py" --contender "$build/bench/paper_network" "$@"
