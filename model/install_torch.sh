#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Run by `meson install`: puts the few libraries of LibTorch that a CPU needs beside the runtime, in
# the layout that they look for each other in.  install_torch.sh TORCH_DIR LIBDIR
set -eu
torch=$1
to=$MESON_INSTALL_DESTDIR_PREFIX/$2/cplrestore
nvidia=$torch/../nvidia/cu13/lib
mkdir -p "$to/torch/lib" "$to/nvidia/cu13/lib"
for library in libtorch_cpu.so libc10.so libgomp.so.1; do
  cp -f "$torch/lib/$library" "$to/torch/lib/"
done
for library in libcudart.so.13 libcupti.so.13; do
  cp -fL "$nvidia/$library" "$to/nvidia/cu13/lib/"
done
