# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What the checks of the examples share. Each begins with `. "$(dirname "$0")/lib.sh"`.
set -eu
examples=$1 # for those who read this file
export examples
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  [ ! -e "$folder/log" ] || tail -n 20 "$folder/log" >&2
  echo "FAILED: $1" >&2
  exit 1
}

# run NAME CMD...: CMD ends well, in a time.
run() {
  name=$1
  shift
  timeout 60 "$@" >"$folder/log" 2>&1 || fail "$name"
}

# is_video FILE FRAMES: it can be decoded, to so many frames.
is_video() {
  timeout 60 gst-launch-1.0 filesrc location="$1" ! decodebin ! video/x-raw ! \
    fakesink silent=false sync=false -v >"$folder/log" 2>&1 || fail "$1 cannot be played"
  frames=$(grep -c 'chain' "$folder/log" || true)
  [ "$frames" -ge "$2" ] || fail "$1 has $frames frames, not $2"
}

# make_rainy FILE [FRAMES]
make_rainy() {
  run 'a video to restore' gst-launch-1.0 -q videotestsrc num-buffers="${2:-20}" pattern=ball ! \
    video/x-raw,format=I420,width=160,height=120,framerate=20/1 ! cpldegrade kind=rain ! \
    x264enc speed-preset=veryfast key-int-max=10 ! h264parse ! mp4mux ! filesink location="$1"
}
