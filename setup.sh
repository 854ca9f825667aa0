#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what cplrestore needs to build, test and run on Debian 12: Debian packages, and LibTorch
# (the pinned PyPI wheel) in a virtual environment outside the clone. Run it as often as you like:
# what is already there is left alone.
#
#   ./setup.sh                 install what is missing
#   ./setup.sh --print-torch   print the folder of LibTorch, install nothing
#   ./setup.sh --print-gst-cuda   the same for the headers of GStreamer's CUDA library
#
# Environment:
#   CPL_CACHE_DIR  where the virtual environment lives  (default: ${XDG_CACHE_HOME:-~/.cache}/cplrestore)
#   CPL_TORCH      lean | full | none. lean = CPU only, 1.3 GB; full = with the CUDA libraries, 5 GB;
#                  none = you bring your own LibTorch (>= 2.6) and pass -Dtorch_dir=DIR to meson.
#                  (default: full where an NVIDIA driver answers, lean otherwise)
set -euo pipefail

TORCH_VERSION=2.15.0

APT_PACKAGES=(
  g++ meson ninja-build pkg-config gettext python3 python3-venv ca-certificates
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools
  gstreamer1.0-plugins-base gstreamer1.0-plugins-base-apps gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
  gstreamer1.0-plugins-ugly gstreamer1.0-libav gstreamer1.0-rtsp
  python3-gi gir1.2-gst-plugins-base-1.0 gir1.2-gst-rtsp-server-1.0
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
  libgstrtspserver-1.0-dev libcpp-httplib-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev
  libopenmpi-dev openmpi-bin
)

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

flavour=${CPL_TORCH:-}
if [ -z "$flavour" ]; then
  if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then
    flavour=full
  else
    flavour=lean
  fi
fi
case $flavour in lean | full | none) ;; *) die "CPL_TORCH=$flavour: expected lean, full or none" ;; esac

cache=${CPL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cplrestore}
venv=$cache/torch-$TORCH_VERSION-$flavour

torch_folder() {
  local dir
  for dir in "$venv"/lib/python3*/site-packages/torch; do
    if [ -e "$dir/lib/libtorch_cpu.so" ]; then
      printf '%s\n' "$dir"
      return 0
    fi
  done
  return 1
}

gst_cuda=$cache/gst-cuda
if [ "${1:-}" = --print-gst-cuda ]; then
  [ -e "$gst_cuda/include/gst/cuda/gstcudacontext.h" ] || die "the headers of GStreamer's CUDA library are not in $gst_cuda; run ./setup.sh"
  printf '%s\n' "$gst_cuda/include"
  exit 0
fi

if [ "${1:-}" = --print-torch ]; then
  torch_folder || die "LibTorch is not in $venv; run ./setup.sh"
  exit 0
fi
[ $# -eq 0 ] || die "unknown argument '$1' (see the head of this script)"

missing_packages() {
  dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${APT_PACKAGES[@]}" 2>/dev/null |
    awk '$2 == "installed" { print $1 }' | sort -u >"$1"
  printf '%s\n' "${APT_PACKAGES[@]}" | sort -u | comm -23 - "$1"
}

install_packages() {
  command -v dpkg-query >/dev/null 2>&1 ||
    die "this script knows Debian and its relatives only; HACKING.md lists the packages to install by hand"
  local list missing as_root=()
  list=$(mktemp)
  missing=$(missing_packages "$list" | tr '\n' ' ')
  rm -f "$list"
  if [ -z "${missing// /}" ]; then
    say "Debian packages: all ${#APT_PACKAGES[@]} are there"
    return
  fi
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || die "not root and no sudo; install these yourself: $missing"
    as_root=(sudo)
  fi
  say "Debian packages: installing $missing"
  "${as_root[@]}" apt-get update -qq
  # shellcheck disable=SC2086  # a list of words on purpose
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

install_torch() {
  if [ "$flavour" = none ]; then
    say "LibTorch: left to you; pass -Dtorch_dir=DIR to meson"
    return
  fi
  if [ -e "$venv/.complete" ] && torch_folder >/dev/null; then
    say "LibTorch $TORCH_VERSION ($flavour): already in $venv"
    return
  fi
  say "LibTorch $TORCH_VERSION ($flavour): installing into $venv"
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv"
  if [ "$flavour" = lean ]; then
    # libtorch_cpu.so of the wheel links to these two even when no GPU is ever used.
    "$venv/bin/pip" install -q --no-deps --no-compile "torch==$TORCH_VERSION" \
      "nvidia-cuda-runtime>=13.2,<13.3" "nvidia-cuda-cupti>=13.2,<13.3"
  else
    "$venv/bin/pip" install -q --no-compile "torch==$TORCH_VERSION"
  fi
  torch_folder >/dev/null || die "the wheel in $venv holds no libtorch_cpu.so; remove the folder and try again"
  touch "$venv/.complete"
}

# The package of these headers depends on OpenCV with all its windows, VTK and MPI: a few hundred
# megabytes for eight files. Without them the element takes frames in system memory only.
install_gst_cuda() {
  local package=libgstreamer-plugins-bad1.0-dev version work
  pkg-config --exists gstreamer-cuda-1.0 && return
  version=$(dpkg-query -W -f '${Version}' libgstreamer-plugins-bad1.0-0 2>/dev/null) || return 0
  if [ "$(cat "$gst_cuda/.version" 2>/dev/null)" = "$version" ]; then
    say "GStreamer's CUDA headers: already in $gst_cuda"
    return
  fi
  work=$(mktemp -d)
  if (cd "$work" && chmod 755 . && apt-get download -qq "$package=$version" >/dev/null 2>&1 &&
    dpkg-deb -x "$package"_*.deb .) && [ -d "$work/usr/include/gstreamer-1.0/gst/cuda" ]; then
    rm -rf "$gst_cuda"
    mkdir -p "$gst_cuda/include/gst"
    cp -r "$work/usr/include/gstreamer-1.0/gst/cuda" "$gst_cuda/include/gst/"
    echo "$version" >"$gst_cuda/.version"
    say "GStreamer's CUDA headers: unpacked into $gst_cuda"
  else
    say "GStreamer's CUDA headers: $package $version cannot be had; frames in GPU memory are left out"
  fi
  rm -rf "$work"
}

install_packages
install_torch
install_gst_cuda
