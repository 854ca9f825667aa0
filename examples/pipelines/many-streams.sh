#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# many-streams.sh VIDEO...: plays several files in one process, beside each other in one window. The elements
# share one copy of the model and take turns on the CPUs. SINK names another sink.
set -eu
branches='' x=0
for video in "$@"; do
  branches="$branches filesrc location=\"$video\" ! decodebin ! videoconvert ! cplrestore ! videoscale ! \
    video/x-raw,width=480,height=270 ! mix.sink_$x"
  x=$((x + 1))
done
pads='' i=0
while [ "$i" -lt "$x" ]; do
  pads="$pads sink_$i::xpos=$((i * 480))"
  i=$((i + 1))
done
# shellcheck disable=SC2086  # several words on purpose
eval exec gst-launch-1.0 compositor name=mix $pads ! videoconvert ! ${SINK:-autovideosink} $branches
