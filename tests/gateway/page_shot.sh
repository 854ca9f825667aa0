#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# page_shot.sh OUT.png [BUILD]: the gateway's page with two cameras, in rain and in snow, restored by
# the shipped model, and one that is away. The cameras turn slowly before the pictures of tests/data;
# cpldegrade makes the weather. Every frame is restored, on one CPU, so that the page shows what it is
# for on a busy machine too. Needs chromium and ffmpeg; with pngquant the picture is small.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1 build=$(realpath "${2:-build}")
scratch=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT
export GST_REGISTRY=$scratch/registry GST_PLUGIN_PATH_1_0=$build/gst
unset CPL_RUNTIME

camera() {  # PORT PICTURE KIND
  # Some minutes at 4 frames/s, at most 3 pixels a frame.
  ffmpeg -v error -loop 1 -framerate 4 -t 400 -i "$2" \
    -vf "scale=576:-1:flags=lanczos,crop=448:252:64+60*sin(t/6):90+40*sin(t/9)" \
    -c:v libx264 -preset veryfast -crf 12 -pix_fmt yuv420p "$scratch/$3.mp4"
  "$build/tests/gateway/serve_camera" "$1" "filesrc location=$scratch/$3.mp4 ! decodebin ! videoconvert ! cpldegrade kind=$3 level=0.6 ! \
    x264enc tune=zerolatency speed-preset=superfast bitrate=6000 key-int-max=6 threads=1 ! rtph264pay name=pay0 config-interval=-1" &
  pids+=($!)
}
camera 15541 tests/data/sample-1.png rain
camera 15542 tests/data/sample-2.png snow
cat >"$scratch/cameras.toml" <<'TOML'
[rtsp]
port = 0
[http]
port = 15543
[model]
threads = 1
[defaults]
reconnect_max_seconds = 2
max_latency_ms = 0
[[camera]]
name = "lane"
url = "rtsp://127.0.0.1:15541/stream"
[[camera]]
name = "pond"
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
