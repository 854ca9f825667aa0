#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What tuning for a camera is worth: tunes `live` on the first half of a video and measures the
# model before and after on stretches of the second half.
#
#   bench/fine_tune.sh VIDEO OUT [MINUTES]
#
# OUT gets the frames, the evaluation set (OUT/eval, in the layout of `cpl eval --clips`), the run
# (OUT/tuned) and the figures (OUT/before.json, OUT/after.json).
set -euo pipefail
video=$1 out=$2 minutes=${3:-20}
cpl=${CPL:-$(cd "$(dirname "$0")/.." && pwd)/build/train/cpl}
stretches=4 length=8

mkdir -p "$out/all" "$out/first" "$out/second"
gst-launch-1.0 -q filesrc location="$video" ! decodebin ! videoconvert ! video/x-raw,format=RGB ! \
  pngenc compression-level=1 ! multifilesink location="$out/all/%06d.png"
frames=("$out"/all/*.png)
half=$((${#frames[@]} / 2))
mv "${frames[@]:0:half}" "$out/first/"
mv "${frames[@]:half}" "$out/second/"
rmdir "$out/all"

second=("$out"/second/*.png)
for ((k = 0; k < stretches; ++k)); do
  start=$((k * (${#second[@]} - length) / (stretches - 1)))
  for kind in noise rain snow haze; do
    clip="$out/eval/$kind/$k"
    mkdir -p "$clip/target"
    cp "${second[@]:start:length}" "$clip/target/"
    "$cpl" degrade "$clip/target" "$clip/input" --kind "$kind" --seed $((100 + k)) --clip >/dev/null
  done
done

"$cpl" eval --model live --clips "$out/eval" --json "$out/before.json"
"$cpl" train --from live --clean "$out/first" --minutes "$minutes" --output "$out/tuned"
"$cpl" eval --model "$out/tuned/model.safetensors" --clips "$out/eval" --json "$out/after.json"
