#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_c.sh EXAMPLES: the program in C builds as its head says, without a warning, and restores a video.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
make_rainy rainy.mp4
# shellcheck disable=SC2046  # several options on purpose
run 'compiling restore.c' cc -Wall -Wextra -Werror "$examples/c/restore.c" -o restore \
  $(pkg-config --cflags --libs gstreamer-1.0)
run restore ./restore rainy.mp4 restored.mp4
grep -q '^20 frames' log || fail 'it does not say how many frames there were'
grep -q '^sees [a-z]*, confidence' log || fail 'it does not say what the model sees'
is_video restored.mp4 20
if ./restore missing.mp4 x.mp4 >log 2>&1; then fail 'it succeeds without its file'; fi
