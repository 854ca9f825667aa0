#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ./test.sh packages: makes the source archive with `meson dist`, builds the Debian packages from it, installs
# them into a clean Debian (a folder made by mmdebstrap), and runs element, command and a program of one's own
# there. Needs root for the clean Debian, and the network. What is in the packages and what was run goes to
# tests/logs/packages.txt.
#
# CPL_PACKAGES_UNCLEAN=1 leaves the last part out.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/packages
log=$root/tests/logs/packages.txt
tools=(dpkg-buildpackage dh mmdebstrap)

say() { printf 'packages: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

for tool in "${tools[@]}"; do
  command -v "$tool" >/dev/null || die "install $tool (apt-get install dpkg-dev debhelper mmdebstrap)"
done
[ -z "$(git status --porcelain --untracked-files=no)" ] || say 'what is not committed is not packaged'
commit=$(git rev-parse --short HEAD)

rm -rf "$work"
mkdir -p "$work"
say 'source archive'
meson dist -C build --no-tests --allow-dirty --formats gztar >"$work/dist.log" 2>&1 || { cat "$work/dist.log"; exit 1; }
tar -xzf build/meson-dist/cplrestore-*.tar.gz -C "$work"
source=$(echo "$work"/cplrestore-*/)
[ -x "$source/debian/rules" ] || die 'the archive lacks debian/'

say "building ($work/build.log)"
# Where ccache is installed it makes a second run short.
(cd "$source" && PATH=/usr/lib/ccache:$PATH dpkg-buildpackage -b -us -uc -d -j"$(nproc)" >"$work/build.log" 2>&1) ||
  { tail -n 30 "$work/build.log"; die 'dpkg-buildpackage failed'; }

debs=("$work"/*.deb)
{
  echo "# Made by ./test.sh packages from $commit"
  for deb in "${debs[@]}"; do
    echo
    echo "## $(basename "$deb"), $(($(stat -c %s "$deb") / 1024)) KiB"
    dpkg-deb --field "$deb" Depends | fold -sw 110 | sed 's/ *$//'
    dpkg-deb --contents "$deb" | awk '$1 !~ /^d/ { printf "%12d %s %s %s\n", $3, $6, $7, $8 }'
  done
} >"$log"
[ ${#debs[@]} -ge 6 ] || die "only ${#debs[@]} packages"
[ -z "${CPL_PACKAGES_UNCLEAN:-}" ] || { say 'a clean installation was not asked for'; exit 0; }

say 'a clean Debian'
clean=$work/clean
# What this machine needs to reach its mirror, the clean one needs too.
options=()
for name in Acquire::Check-Valid-Until Acquire::Check-Date Acquire::http::Proxy; do
  eval "$(apt-config shell value "$name")"
  [ -z "${value:-}" ] || options+=("--aptopt=$name \"$value\"")
  value=
done
mmdebstrap --quiet --variant=minbase --include=ca-certificates "${options[@]}" bookworm "$clean" 2>"$work/clean.log" ||
  { tail -n 20 "$work/clean.log"; die 'mmdebstrap failed'; }
mkdir "$clean/packages"
cp "${debs[@]}" "$clean/packages/"
cp examples/cpp/restore_ppm.cc "$clean/packages/"
cp /etc/resolv.conf "$clean/etc/" 2>/dev/null || true
trap 'umount "$clean/proc" 2>/dev/null || true' EXIT
mount -t proc proc "$clean/proc"
# shellcheck disable=SC2016  # run in there
say 'installing and running there'
chroot "$clean" /bin/sh >"$work/run.log" 2>&1 <<'END' || { tail -n 40 "$work/run.log"; die 'the clean installation failed'; }
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root
show() { echo; echo "\$ $*"; "$@"; }
apt-get update -qq
apt-get install -y -qq --no-install-recommends /packages/*.deb gstreamer1.0-tools gstreamer1.0-plugins-base \
  gstreamer1.0-plugins-good g++ pkg-config >/dev/null 2>&1
show dpkg-query -W 'cplrestore*' 'libcpl*' gstreamer1.0-cplrestore
show gst-inspect-1.0 cplrestore | head -n 12
show gst-launch-1.0 videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=320,height=240 ! \
  cpldegrade kind=rain ! cplrestore bypass=off ! fakesink
show cpl info live | head -n 9
gst-launch-1.0 -q videotestsrc num-buffers=1 ! video/x-raw,width=320,height=240 ! pngenc ! filesink location=/tmp/in.png
show cpl restore /tmp/in.png /tmp/out.png
gst-launch-1.0 -q filesrc location=/tmp/in.png ! pngdec ! videoconvert ! video/x-raw,format=RGB ! filesink location=/tmp/rgb
{ printf 'P6\n320 240\n255\n' && cat /tmp/rgb; } >/tmp/in.ppm
show sh -c 'g++ /packages/restore_ppm.cc -o /tmp/restore_ppm $(pkg-config --cflags --libs cpl)'
show /tmp/restore_ppm /tmp/in.ppm /tmp/out.ppm
show sh -c 'LANGUAGE=de CPL_RUNTIME=/missing gst-launch-1.0 videotestsrc num-buffers=1 ! cplrestore ! fakesink 2>&1 | grep CPL_RUNTIME'
show apt-get purge -o Dpkg::Use-Pty=0 -y -qq 'cplrestore*' 'libcpl*' gstreamer1.0-cplrestore
END
{ echo; echo '# In a clean Debian 12'; cat "$work/run.log"; } >>"$log"
[ -z "$(find "$clean/usr" -path '*cplrestore*' -print -quit)" ] || die 'something is left after purging'
umount "$clean/proc"
rm -rf "$clean"
say "done: $log"
