#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Measures models on everything that README.md beside this file names, against what else can be had
# from Debian and PyPI, and writes tables (JSON, Markdown) and an HTML report with pictures.
#
#   bench/quality/run.sh DATA OUT [--model M]... [--full] [--commit]
#
# DATA holds the sets (README.md), OUT gets the report: outside the tree, since it shows pictures whose
# licence is not stated. Needs a build (./build.sh; BUILD names another folder) and ffmpeg, and sets up
# numpy and OpenCV in a virtual environment outside the clone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build}
opencv=4.14.0.94
venv=${CPL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cplrestore}/bench-quality-$opencv
if [ ! -e "$venv/.complete" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --no-compile numpy "opencv-python-headless==$opencv"
  touch "$venv/.complete"
fi
if ! command -v ffmpeg >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || { echo "quality: ffmpeg is missing: apt-get install ffmpeg" >&2; exit 1; }
  apt-get install -y -qq --no-install-recommends ffmpeg >/dev/null
fi
[ -x "$build/train/cpl" ] || { echo "quality: $build/train/cpl is missing: run ./build.sh" >&2; exit 1; }
# No figure here is a time: threads need not spin for each other on a busy machine.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
exec "$venv/bin/python" "$here/run.py" --cpl "$build/train/cpl" --root "$root" "$@"
