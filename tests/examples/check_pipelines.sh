#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_pipelines.sh EXAMPLES: the pipelines do what their heads say, without camera and screen.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
pipelines=$examples/pipelines
make_rainy rainy.mp4

run file.sh "$pipelines/file.sh" rainy.mp4 restored.mp4
is_video restored.mp4 20
run split-view.sh env SINK='fakesink' "$pipelines/split-view.sh" rainy.mp4
run split-picture.sh "$pipelines/split-picture.sh" rainy.mp4 split.png 10
run 'the picture of split-picture.sh' gst-launch-1.0 filesrc location=split.png ! pngdec ! fakesink
run webcam.sh env SOURCE='videotestsrc num-buffers=20 is-live=true' SINK=fakesink "$pipelines/webcam.sh"
run record-both.sh "$pipelines/record-both.sh" rainy.mp4 original.mkv both.mkv
is_video original.mkv 20
is_video both.mkv 20
mkdir hls
run hls.sh "$pipelines/hls.sh" rainy.mp4 hls
grep -q segment00000.ts hls/playlist.m3u8 || fail 'hls.sh wrote no playlist'
is_video hls/segment00000.ts 20
run many-streams.sh env SINK=fakesink "$pipelines/many-streams.sh" rainy.mp4 rainy.mp4 rainy.mp4
# Not to be run without a GPU; that it is a pipeline at all is all that can be said.
sh -n "$pipelines/cuda.sh" || fail cuda.sh

# A file that is not there is an error that says so, and the status tells.
if "$pipelines/file.sh" missing.mp4 x.mp4 >log 2>&1; then fail 'file.sh succeeds without its file'; fi
grep -q missing.mp4 log || fail 'file.sh does not name the file'
