#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# split-view.sh VIDEO: plays a file, original on the left of the line and restored on its right. SINK names
# another sink than a window.
set -eu
# shellcheck disable=SC2086  # an element with properties, several words on purpose
exec gst-launch-1.0 filesrc location="$1" ! decodebin ! videoconvert ! cplrestore compare=split ! \
  videoconvert ! ${SINK:-autovideosink}
