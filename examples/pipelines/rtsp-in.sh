#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rtsp-in.sh URL: shows a network camera, restored. The leaky queue drops frames where the machine cannot keep
# up, and max-latency has frames pass untouched before it comes to that. SINK names another sink. Credentials
# in a URL show up in the process list: cameras that need them belong into the gateway (examples/gateway).
set -eu
# shellcheck disable=SC2086  # an element with properties, several words on purpose
exec gst-launch-1.0 rtspsrc location="$1" latency=200 protocols=tcp ! decodebin ! videoconvert ! \
  queue leaky=downstream max-size-buffers=2 ! cplrestore max-latency=40000000 ! videoconvert ! \
  ${SINK:-autovideosink sync=false}
