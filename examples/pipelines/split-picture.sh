#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# split-picture.sh VIDEO OUT.png [FRAME]: one picture of a video, original on the left of the line and
# restored on its right. The frames before FRAME (default 30) are restored too: they help it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
frame=${3:-30}
gst-launch-1.0 -q filesrc location="$1" ! decodebin ! videoconvert ! \
  identity eos-after="$((frame + 1))" ! cplrestore compare=split bypass=off ! videoconvert ! \
  pngenc compression-level=1 ! multifilesink max-files=1 location="$folder/%d.png"
mv "$folder"/*.png "$2"
