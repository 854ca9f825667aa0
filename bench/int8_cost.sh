#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What int8 costs: measures a live model in float32 and in int8 on an evaluation set, and the
# pictures of int8 against those of float32.
#
#   bench/int8_cost.sh OUT --data DIR | --clips DIR [MODEL]      as for `cpl eval`
#
# OUT gets the pictures and the figures (fp32.json, int8.json, between.json). The table: PSNR of R,
# G, B against the target in either, what int8 lost of it, and PSNR of int8 against float32, in dB.
set -euo pipefail
out=$1 what=$2 set=$(realpath "$3") model=${4:-live}
cpl=${CPL:-$(cd "$(dirname "$0")/.." && pwd)/build/train/cpl}
mkdir -p "$out"
out=$(realpath "$out")

for precision in fp32 int8; do
  "$cpl" eval --model "$model" --device cpu --precision $precision "$what" "$set" --no-ssim \
    --save "$out/$precision" --json "$out/$precision.json" >/dev/null
done
# A set whose targets are what float32 made.
rm -rf "$out/set"
(cd "$out/fp32" && find . -name '*.png') | while read -r picture; do
  folder=$out/set/$(dirname "$picture")
  mkdir -p "$folder/input" "$folder/target"
  ln -sf "$out/fp32/$picture" "$folder/input/"
  ln -sf "$out/fp32/$picture" "$folder/target/"
done
"$cpl" eval --restored "$out/int8" "$what" "$out/set" --no-ssim --json "$out/between.json" >/dev/null
python3 - "$out" <<'END'
import json, sys
fp32, int8, between = (json.load(open(f"{sys.argv[1]}/{name}.json"))["kinds"]
                       for name in ("fp32", "int8", "between"))
print("| | float32 | int8 | lost | int8 to float32 |\n|---|---:|---:|---:|---:|")
def text(psnr, digits=2):  # null is infinite: not a bit differs
    return "equal" if psnr is None else f"{psnr:.{digits}f}"
for kind in fp32:
    a, b, c = (k[kind]["psnr_rgb"] for k in (fp32, int8, between))
    lost = text(a - b, 3) if a and b else "-"
    print(f"| {kind} | {text(a)} | {text(b)} | {lost} | {text(c, 1)} |")
END
