#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# webcam.sh: shows the first camera, restored. Where restoring a frame takes longer than 33 ms, frames pass
# untouched instead of piling up. SOURCE and SINK name other elements.
set -eu
# shellcheck disable=SC2086  # elements with properties, several words on purpose
exec gst-launch-1.0 ${SOURCE:-v4l2src} ! videoconvert ! queue leaky=downstream max-size-buffers=2 ! \
  cplrestore max-latency=33000000 ! videoconvert ! ${SINK:-autovideosink sync=false}
