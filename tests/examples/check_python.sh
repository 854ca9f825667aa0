#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_python.sh EXAMPLES: the script in Python restores a video.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import gi; gi.require_version("Gst", "1.0")' 2>/dev/null || {
  echo 'python3-gi or gir1.2-gstreamer-1.0 is not installed' >&2
  exit 77
}
make_rainy rainy.mp4
run restore.py "$examples/python/restore.py" rainy.mp4 restored.mp4 bypass=off strength=0.5
grep -q '^20 frames, 0 passed untouched' log || fail 'it does not say what was done'
is_video restored.mp4 20
if "$examples/python/restore.py" missing.mp4 x.mp4 >log 2>&1; then fail 'it succeeds without its file'; fi
