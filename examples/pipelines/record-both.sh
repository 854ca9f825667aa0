#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# record-both.sh IN ORIGINAL.mkv RESTORED.mkv: records a stream as it came and as it was restored, frame by
# frame with the same timestamps: what is evidence stays as the camera made it. SOURCE names other elements
# than those that read the file IN, such as `v4l2src`.
set -eu
# shellcheck disable=SC2086  # elements with properties, several words on purpose
exec gst-launch-1.0 -e ${SOURCE:-filesrc location="$1" ! decodebin} ! videoconvert ! tee name=t \
  t. ! queue max-size-time=5000000000 max-size-bytes=0 max-size-buffers=0 ! \
  x264enc tune=zerolatency speed-preset=veryfast ! h264parse ! matroskamux ! filesink location="$2" \
  t. ! queue ! cplrestore ! videoconvert ! \
  x264enc tune=zerolatency speed-preset=veryfast ! h264parse ! matroskamux ! filesink location="$3"
