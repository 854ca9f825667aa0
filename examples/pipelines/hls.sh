#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# hls.sh IN FOLDER: restores a video into an HLS playlist, FOLDER/playlist.m3u8, that any web server can hand
# out. SOURCE names other elements than those that read the file IN. (hlssink2 of GStreamer 1.22 often hangs at
# the end of a stream, whatever is in front of it.)
set -eu
# shellcheck disable=SC2086  # elements with properties, several words on purpose
exec gst-launch-1.0 -e ${SOURCE:-filesrc location="$1" ! decodebin} ! videoconvert ! cplrestore ! \
  videoconvert ! x264enc speed-preset=veryfast key-int-max=50 ! h264parse ! \
  mpegtsmux ! hlssink target-duration=2 playlist-location="$2/playlist.m3u8" location="$2/segment%05d.ts"
