#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rtsp-out.sh URL-IN URL-OUT: takes a network camera and publishes it, restored, on an RTSP server that lets
# streams be recorded to it (MediaMTX, and others that know RECORD).
set -eu
exec gst-launch-1.0 -e rtspsrc location="$1" latency=200 protocols=tcp ! decodebin ! videoconvert ! \
  queue leaky=downstream max-size-buffers=2 ! cplrestore max-latency=40000000 ! videoconvert ! \
  x264enc tune=zerolatency speed-preset=ultrafast key-int-max=50 ! \
  video/x-h264,profile=baseline ! h264parse ! rtspclientsink location="$2" protocols=tcp
