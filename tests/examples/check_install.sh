#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_install.sh SOURCE BUILD TORCH: what `meson install` puts somewhere works from there alone: element,
# command, models, and a program in C++ that is built with cpl.pc. LibTorch is linked, not copied.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
source=$1 build=$2 torch=$3
unset GST_PLUGIN_PATH GST_PLUGIN_PATH_1_0 CPL_RUNTIME CPL_MODEL_PATH LD_LIBRARY_PATH
unset DESTDIR
run 'meson install' meson install -C "$build" --no-rebuild --quiet --destdir "$folder/root" \
  --tags runtime,devel,i18n,models
prefix=$(find "$folder/root" -name cpl.pc -printf '%h\n' | sed 's#/lib/.*##')
lib=$(dirname "$(find "$prefix" -name gstreamer-1.0 -type d)")
ln -s "$torch" "$lib/cplrestore/torch"
export GST_PLUGIN_PATH_1_0="$lib/gstreamer-1.0" GST_REGISTRY_1_0="$folder/registry"

run gst-inspect-1.0 gst-inspect-1.0 cplrestore
grep -q "$folder/root" log || fail 'another plugin was found'
run 'a pipeline' gst-launch-1.0 videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48 ! \
  cplrestore bypass=off ! fakesink
run 'cpl info' "$prefix/bin/cpl" info live
grep -q "$prefix/share/cplrestore/models/live.safetensors" log || fail 'another model was found'

export PKG_CONFIG_PATH="$lib/pkgconfig"
# shellcheck disable=SC2046  # several options on purpose
run 'compiling restore_ppm.cc' g++ -Wall -Wextra -Werror "$source/examples/cpp/restore_ppm.cc" \
  -o restore_ppm $(pkg-config --define-variable=prefix="$prefix" --cflags --libs cpl)
run 'a picture' gst-launch-1.0 -q videotestsrc num-buffers=1 pattern=ball ! \
  video/x-raw,format=RGB,width=96,height=64 ! cpldegrade kind=noise ! filesink location=pixels
{ printf 'P6\n96 64\n255\n' && cat pixels; } >in.ppm
run restore_ppm ./restore_ppm in.ppm out.ppm in.ppm again.ppm
grep -q '^in.ppm: [a-z]*, confidence' log || fail 'it does not say what the model saw'
[ "$(wc -c <out.ppm)" = "$(wc -c <in.ppm)" ] || fail 'the picture has another size'
printf 'P6\n96 64\n255\nshort' >bad.ppm
if ./restore_ppm bad.ppm out.ppm >log 2>&1; then fail 'half a picture was restored'; fi
grep -q 'bad.ppm: the picture ends early' log || fail 'the bad picture is not named'

# What is seen of the library: no more than is promised.
nm -D --defined-only "$lib/cplrestore/libcpl.so" | awk '{ print $NF }' | sort >symbols
printf '%s\n' cpl_runtime | cat - symbols | grep -vE '^(cpl_runtime|_ZN3cpl(9LoadModel|9FindModel).*)$' >log && \
  fail 'libcpl.so exports more than cpl/*.h promise'
exit 0
