#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# codec_ms.sh [WIDTH HEIGHT [FRAMES]]: CPU milliseconds that a frame costs the gateway beside the
# element: H.264 decoding and encoding with the gateway's settings, each on one thread.
set -euo pipefail
width=${1:-1280} height=${2:-720} frames=${3:-200}
clip=$(mktemp --suffix=.h264)
trap 'rm -f "$clip"' EXIT
encoder='x264enc tune=zerolatency speed-preset=superfast threads=1 key-int-max=600 bitrate=4000'
# shellcheck disable=SC2086  # words on purpose
gst-launch-1.0 -q videotestsrc num-buffers="$frames" pattern=smpte75 ! \
  "video/x-raw,format=I420,width=$width,height=$height,framerate=30/1" ! $encoder ! filesink location="$clip"
TIMEFORMAT='%U %S'
# shellcheck disable=SC2086
{ time gst-launch-1.0 -q filesrc location="$clip" ! h264parse ! avdec_h264 max-threads=1 ! $encoder ! fakesink; } 2>&1 |
  tail -n 1 | awk -v n="$frames" '{ printf "%.2f CPU ms a frame\n", 1000 * ($1 + $2) / n }'
