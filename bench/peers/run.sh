#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Speed beside peers, in one run and one table: the live network through our executor, ONNX Runtime,
# OpenVINO, PyTorch and torch.compile; whole frames through the element, what a user would pick
# instead, and the element behind the conversions that pipelines have today; and the time by size of
# the frame.
#
#   bench/peers/run.sh [--model M] [--size 1280x720] [--threads 2] [--rounds 7] [--parts P ...] [--commit]
#
# Nothing else should run meanwhile. Needs a build (./build.sh; BUILD names another folder), ffmpeg and
# frei0r-plugins, and sets up the rest in a virtual environment outside the clone (PyTorch's whole
# wheel: 5 GB). --commit writes bench/results/peers.{json,md,svg}, else they go to out/peers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build}
torch=$(sed -n 's/^TORCH_VERSION=//p' "$root/setup.sh")
venv=${CPL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cplrestore}/bench-torch-$torch
marker=$venv/.peers-complete-2
if [ ! -e "$marker" ]; then
  [ -e "$venv/bin/pip" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install -q --no-compile "torch==$torch" numpy safetensors onnx==1.23.2 \
    onnxruntime==1.32.0 openvino==2026.4.1 opencv-python-headless==4.14.0.94 nncf==3.4.0
  touch "$marker"
fi
missing=()
command -v ffmpeg >/dev/null 2>&1 || missing+=(ffmpeg)
[ -e /usr/lib/frei0r-1/hqdn3d.so ] || missing+=(frei0r-plugins)
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || { echo "peers: apt-get install ${missing[*]}" >&2; exit 1; }
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
ninja -C "$build" --quiet bench/peers_contender train/cpl gst/libgstcplrestore.so model/libcpl.so
export GST_PLUGIN_PATH=$build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
export GST_REGISTRY=$build/bench-registry.bin
exec "$venv/bin/python" "$here/run.py" --build "$build" --root "$root" "$@"
