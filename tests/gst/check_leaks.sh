#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Fails when GStreamer's tracer of leaks finds an object or buffer that outlives its pipeline.
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export GST_TRACERS='leaks(check-refs=true)' GST_DEBUG=GST_TRACER:7 GST_DEBUG_NO_COLOR=1
for properties in 'model=clean-odd attach-meta=true' 'compare=split roi=0,0,5,5' 'bypass=on'; do
  # shellcheck disable=SC2086  # several words on purpose
  gst-launch-1.0 -q videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=64,height=48 ! \
    cpldegrade kind=rain+snow+haze+noise ! cplrestore $properties ! fakesink >"$log" 2>&1 || {
    cat "$log"
    exit 1
  }
  if grep -E 'object-(alive|refings),.*type-name=\(string\)[^%]' "$log"; then
    echo "leaked with $properties" >&2
    exit 1
  fi
  # The tracer was there at all.
  grep -q 'GST_TRACER' "$log" || { echo 'the tracer of leaks did not run' >&2; exit 1; }
done
