#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# split-picture.sh VIDEO OUT.png [FRAME]: frame number FRAME (default 30; the last one of a shorter video),
# original on the left of the line and restored on its right. The frames before it are restored too: they
# help it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
frame=${3:-30}
# How many buffers `identity` lets through at the end is not exact: the pictures are counted.
gst-launch-1.0 -q filesrc location="$1" ! decodebin ! videoconvert ! \
  identity eos-after="$((frame + 2))" ! cplrestore compare=split bypass=off ! videoconvert ! \
  pngenc compression-level=1 ! multifilesink index=1 location="$folder/%06d.png"
mv "$(find "$folder" -name '*.png' | sort | head -n "$frame" | tail -n 1)" "$2"
