#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cuda.sh IN OUT.mp4: decodes, restores and encodes on an NVIDIA GPU; frames stay in its memory throughout.
# Needs the GPU, GStreamer's nvcodec plugin and a build with the CUDA backend; not run by the tests.
set -eu
exec gst-launch-1.0 -e filesrc location="$1" ! parsebin ! nvh264dec ! cudaconvert ! \
  cplrestore device=cuda ! cudaconvert ! nvh264enc ! h264parse ! mp4mux ! filesink location="$2"
