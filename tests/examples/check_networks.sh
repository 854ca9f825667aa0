#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_networks.sh EXAMPLES: element and command take either network by `model=`; the file says which it
# is. The paper's network, in small, comes from a trial of training, and by way of a .pth file.
cpl=$(realpath "$2")
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
mkdir photos
run 'a photo' gst-launch-1.0 -q videotestsrc num-buffers=1 ! video/x-raw,width=96,height=96 ! pngenc ! \
  filesink location=photos/1.png
cat >paper.toml <<'END'
name = "paper"
[model]
architecture = "sparse_prompt_ir"
dim = 8
num_blocks = [1, 1, 1, 1]
num_refinement_blocks = 1
prompt_dim = [8, 8, 16]
prompt_size = [8, 8, 8]
[data]
clean = ["photos"]
[[stage]]
name = "single"
steps = 1
patch = 64
batch = { clean = 1, noise = 1, rain = 1, snow = 1, haze = 1 }
END
run 'cpl train' "$cpl" train paper.toml --set run.output=run
run 'cpl info' "$cpl" info run/model.safetensors --json
grep -q '"architecture": *"sparse_prompt_ir"' log || fail 'the file does not say what it is'
run 'cpl convert' "$cpl" convert run/model.safetensors paper.pth

for model in live run/model.safetensors paper.pth; do
  run "the element with $model" gst-launch-1.0 videotestsrc num-buffers=3 ! \
    video/x-raw,format=NV12,width=70,height=50 ! cplrestore bypass=off "model=$model" ! fakesink
  run "cpl restore with $model" "$cpl" restore photos/1.png "restored.png" --model "$model"
  [ -s restored.png ] || fail "cpl restore with $model wrote nothing"
done
