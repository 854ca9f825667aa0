#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_rtsp.sh EXAMPLES: rtsp-in.sh plays from an RTSP server on this machine, rtsp-out.sh records to it.
# shellcheck source-path=SCRIPTDIR
script=$(realpath "$0")
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null || {
  echo 'python3-gi or gir1.2-gst-rtsp-server-1.0 is not installed' >&2
  exit 77
}
gst-inspect-1.0 rtspclientsink >/dev/null 2>&1 || {
  echo 'gstreamer1.0-rtsp is not installed' >&2
  exit 77
}
server() {
  : >"$folder/server"
  /usr/bin/python3 "$(dirname "$script")/rtsp_server.py" "$folder/recorded.ts" >"$folder/server" 2>&1 &
  pid=$!
  trap 'kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true; rm -rf "$folder"' EXIT
  for _ in $(seq 100); do
    port=$(sed -n 's/^port //p' "$folder/server")
    [ -z "$port" ] || return 0
    sleep 0.1
  done
  cat "$folder/server" >&2
  fail 'the RTSP server does not start'
}
server
# The server's camera ends after some seconds, and so do these.
run rtsp-in.sh env SINK='fakesink sync=false' \
  "$examples/pipelines/rtsp-in.sh" "rtsp://127.0.0.1:$port/camera"
# A publisher need not end with its camera: it is interrupted, as an operator would.
status=0
timeout -s INT -k 15 20 "$examples/pipelines/rtsp-out.sh" "rtsp://127.0.0.1:$port/camera" \
  "rtsp://127.0.0.1:$port/record" >"$folder/log" 2>&1 || status=$?
case $status in 0 | 124 | 137) ;; *) fail rtsp-out.sh ;; esac
sleep 1
is_video "$folder/recorded.ts" 10
