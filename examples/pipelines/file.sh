#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# file.sh IN OUT.mp4: restores a video file. For sound, or another container, use `cpl restore`.
set -eu
exec gst-launch-1.0 -e filesrc location="$1" ! decodebin ! videoconvert ! cplrestore ! \
  videoconvert ! x264enc speed-preset=veryfast ! h264parse ! mp4mux ! filesink location="$2"
