#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# page_shot.sh CLIP OUT.png [BUILD]: the gateway's page with two cameras that show CLIP in rain and in
# snow, restored by the shipped model, and one that is away. Needs chromium; with pngquant the
# picture is small.
set -euo pipefail
cd "$(dirname "$0")/../.."
clip=$(realpath "$1") out=$2 build=$PWD/${3:-build}
scratch=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT
export GST_REGISTRY=$scratch/registry GST_PLUGIN_PATH_1_0=$build/gst
unset CPL_RUNTIME

camera() {  # PORT KIND
  "$build/tests/gateway/serve_camera" "$1" "filesrc location=$clip ! decodebin ! videoconvert ! cpldegrade kind=$2 level=0.6 ! \
    x264enc tune=zerolatency speed-preset=superfast bitrate=6000 key-int-max=10 threads=1 ! rtph264pay name=pay0 config-interval=-1" &
  pids+=($!)
}
camera 15541 rain
camera 15542 snow
cat >"$scratch/cameras.toml" <<'TOML'
[rtsp]
port = 0
[http]
port = 15543
[defaults]
reconnect_max_seconds = 2
[[camera]]
name = "plaza-rain"
url = "rtsp://127.0.0.1:15541/stream"
[[camera]]
name = "plaza-snow"
url = "rtsp://127.0.0.1:15542/stream"
[[camera]]
name = "yard"
url = "rtsp://127.0.0.1:15544/stream"
TOML
"$build/examples/gateway/cpl-gateway" "$scratch/cameras.toml" 2>"$scratch/log" &
pids+=($!)
for _ in $(seq 150); do
  [ "$(grep -c ' live: ' "$scratch/log" || true)" -ge 2 ] && break
  sleep 0.2
done
sleep "${CPL_SHOT_AFTER:-11}"  # the memory of a still scene fills, and something may come into it
# Through the gateway's own check, which a browser without a picture does not pass.
examples/gateway/check_page.sh http://127.0.0.1:15543/ "$scratch/page.png" || { cat "$scratch/log"; exit 1; }
if command -v pngquant >/dev/null; then
  pngquant --force --quality 40-90 --speed 1 --output "$out" 128 "$scratch/page.png"
else
  cp "$scratch/page.png" "$out"
fi
ls -l "$out"
