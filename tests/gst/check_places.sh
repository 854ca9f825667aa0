#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_places.sh PLUGIN RUNTIME: the plugin finds its runtime in a build tree and in an
# installation, through a link too, after the installation was moved, and says so where there is
# none.
set -eu
plugin=$1
runtime=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset CPL_RUNTIME LD_LIBRARY_PATH GST_PLUGIN_PATH GST_PLUGIN_PATH_1_0

# play FOLDER: runs a pipeline with the plugin in FOLDER; its output is left in the file `log`.
play() {
  GST_PLUGIN_PATH_1_0=$1 GST_REGISTRY=$folder/registry timeout 60 gst-launch-1.0 \
    videotestsrc num-buffers=2 ! video/x-raw,width=64,height=48 ! cplrestore ! fakesink \
    >"$folder/log" 2>&1
}

fail() {
  cat "$folder/log" >&2
  echo "FAILED: $1" >&2
  exit 1
}

mkdir -p "$folder/build/gst" "$folder/build/model"
cp "$plugin" "$folder/build/gst/libgstcplrestore.so"
cp "$runtime" "$folder/build/model/libcpl.so"
play "$folder/build/gst" || fail 'in a build tree'

mkdir -p "$folder/usr/lib/gstreamer-1.0" "$folder/usr/lib/cplrestore"
mv "$folder/build/gst/libgstcplrestore.so" "$folder/usr/lib/gstreamer-1.0/"
mv "$folder/build/model/libcpl.so" "$folder/usr/lib/cplrestore/"
play "$folder/usr/lib/gstreamer-1.0" || fail 'in an installation'

mv "$folder/usr" "$folder/opt"
play "$folder/opt/lib/gstreamer-1.0" || fail 'in an installation that was moved'

mkdir "$folder/plugins"
ln -s ../opt/lib/gstreamer-1.0/libgstcplrestore.so "$folder/plugins/"
play "$folder/plugins" || fail 'through a link to the plugin'

rm "$folder/opt/lib/cplrestore/libcpl.so"
if play "$folder/opt/lib/gstreamer-1.0"; then fail 'there is no runtime, and it ran'; fi
grep -q 'libcpl.so is not installed: install cplrestore' "$folder/log" ||
  fail 'what is missing is not said'
grep -q "$folder/opt/lib/cplrestore/libcpl.so" "$folder/log" || fail 'where it looked is not said'
