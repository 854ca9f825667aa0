#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Shows what cplrestore does, on a real clip, from a fresh clone on Debian 12:
#
#   ./demo.sh [VIDEO] [OUT]
#
# With VIDEO: restores it as it is. Without: takes a real surveillance clip (vtest.avi of Debian's
# opencv-doc, 768x576, a fixed camera), adds seeded rain, snow, haze and noise in turn, and restores
# each. Leaves in OUT (default: out/) one before | after video for each, and contact-sheet.png.
set -euo pipefail

root=$(cd "$(dirname "$0")" && pwd)
video=${1:-}
out=${2:-$root/out}
cache=${CPL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cplrestore}
frames=${CPL_DEMO_FRAMES:-100} # of each clip, when no VIDEO is given
level=0.6

say() { printf 'demo: %s\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

[ $# -le 2 ] || die "usage: ./demo.sh [VIDEO] [OUT]"
[ -z "$video" ] || [ -r "$video" ] || die "$video: cannot read it"
[ -z "$video" ] || video=$(realpath "$video")

"$root/setup.sh"
"$root/build.sh"
cpl=$root/build/train/cpl
export GST_PLUGIN_PATH=$root/build/gst${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
export GST_REGISTRY=$root/build/gst/registry.bin
mkdir -p "$out"
out=$(realpath "$out")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The one file that is wanted out of a package of 90 MB, kept for the next time.
fetch_clip() {
  local clip=$cache/vtest.avi package
  if [ ! -s "$clip" ]; then
    say "fetching vtest.avi out of Debian's opencv-doc" >&2
    (cd "$scratch" && apt-get -qq download opencv-doc >/dev/null 2>&1) ||
      die "cannot download the package opencv-doc; run ./demo.sh VIDEO with a video of yours"
    package=$(echo "$scratch"/opencv-doc_*.deb)
    dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards '*/vtest.avi' >"$scratch/vtest.avi"
    mkdir -p "$cache"
    mv "$scratch/vtest.avi" "$clip"
    rm -f "$package"
  fi
  printf '%s\n' "$clip"
}

launch() {
  if ! gst-launch-1.0 -q "$@" >"$scratch/log" 2>&1; then
    cat "$scratch/log" >&2
    die "the pipeline failed: gst-launch-1.0 $*"
  fi
}

# before_after IN NAME: restores IN into OUT/NAME.mp4 beside itself.
before_after() {
  local input=$1 name=$2 width height begin seconds count
  read -r width height < <(
    gst-discoverer-1.0 -v "file://$input" 2>/dev/null |
      awk '/^ *Width:/ { w = $2 } /^ *Height:/ { h = $2 } END { print w, h }'
  )
  [ -n "$height" ] || die "$input: no video that GStreamer can decode"
  local -a pipeline=(
    filesrc "location=$input" ! decodebin ! videoconvert ! "video/x-raw,format=I420" ! tee name=t
    t. ! queue ! mix.sink_0
    t. ! queue ! cplrestore bypass=off ! tee name=restored
    restored. ! queue ! mix.sink_1
    restored. ! queue ! fakesink sync=false
    compositor name=mix sink_1::xpos="$width" ! "video/x-raw,width=$((2 * width)),height=$height"
    ! videoconvert ! x264enc speed-preset=veryfast pass=quant quantizer=18 ! h264parse ! mp4mux
    ! filesink "location=$out/$name.mp4"
  )
  say "$name: gst-launch-1.0 ${pipeline[*]}"
  begin=$(date +%s.%N)
  launch "${pipeline[@]}"
  seconds=$(echo "$(date +%s.%N) $begin" | awk '{ print $1 - $2 }')
  # Counted in the input: the composition may repeat a frame.
  launch filesrc "location=$input" ! decodebin ! videoconvert ! videoscale \
    ! "video/x-raw,format=GRAY8,width=16,height=16" ! multifilesink "location=$scratch/frame-%06d"
  count=$(find "$scratch" -name 'frame-*' | wc -l)
  rm -f "$scratch"/frame-*
  say "$name: $count frames of ${width}x$height in $seconds s, $(echo "$count $seconds" |
    awk '{ printf "%.1f", $1 / $2 }') frames/s with decoding, composing and encoding -> $out/$name.mp4"
}

# still NAME: a frame of OUT/NAME.mp4, well inside the clip, as SCRATCH/NAME.png.
still() {
  local name=$1
  launch filesrc "location=$out/$name.mp4" ! decodebin ! videoconvert ! "video/x-raw,format=RGB" \
    ! pngenc ! multifilesink "location=$scratch/$name-%05d.png"
  local pictures=("$scratch/$name"-*.png)
  mv "${pictures[$((${#pictures[@]} * 2 / 3))]}" "$scratch/$name.png"
  rm -f "$scratch/$name"-*.png
}

names=()
if [ -n "$video" ]; then
  name=$(basename "${video%.*}")
  before_after "$video" "$name"
  names=("$name")
else
  clip=$(fetch_clip)
  say "taking $frames frames of $clip"
  # By way of raw frames: behind its end, identity lets one more through that lies seconds later.
  launch filesrc "location=$clip" ! decodebin ! videoconvert ! "video/x-raw,format=I420" \
    ! identity "eos-after=$((frames + 1))" ! filesink "location=$scratch/clean.i420"
  launch filesrc "location=$scratch/clean.i420" "blocksize=$((768 * 576 * 3 / 2))" "num-buffers=$frames" \
    ! rawvideoparse width=768 height=576 format=i420 framerate=10/1 \
    ! x264enc speed-preset=ultrafast pass=quant quantizer=0 \
    ! h264parse ! matroskamux ! filesink "location=$scratch/clean.mkv"
  rm -f "$scratch/clean.i420"
  for kind in rain snow haze noise; do
    say "$kind: cpl degrade clean.mkv $kind.mkv --kind $kind --level $level --seed 1"
    "$cpl" degrade "$scratch/clean.mkv" "$scratch/$kind.mkv" --kind "$kind" --level "$level" \
      --seed 1 --lossless >/dev/null
    before_after "$scratch/$kind.mkv" "$kind"
    names+=("$kind")
  done
fi

# The sheet: a row for each video.
sheet=()
mixer=(compositor "name=mix")
row=0
for name in "${names[@]}"; do
  still "$name"
  height=$(gst-discoverer-1.0 -v "file://$scratch/$name.png" 2>/dev/null | awk '/^ *Height:/ { print $2 }')
  mixer+=("sink_$row::ypos=$((row * height))")
  sheet+=(filesrc "location=$scratch/$name.png" ! pngdec ! videoconvert ! imagefreeze num-buffers=2
    ! "mix.sink_$row")
  row=$((row + 1))
done
launch "${mixer[@]}" ! videoconvert ! "video/x-raw,format=RGB" ! pngenc snapshot=true \
  ! filesink "location=$out/contact-sheet.png" "${sheet[@]}"

say "before | after videos: $(printf "$out/%s.mp4 " "${names[@]}")"
say "look at $out/contact-sheet.png"
