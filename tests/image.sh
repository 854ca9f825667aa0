#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# ./test.sh image: builds examples/deploy/Containerfile with buildah, and runs element, command and gateway in
# the image. No registry is needed: its base is made from Debian's packages. Needs root, the network, 8 GB of
# disk under build/image and half an hour of two cores. What was run goes to tests/logs/image.txt.
#
# CPL_IMAGE_KEEP=1 leaves images and layers in build/image, so that a second run is short.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/image
log=$root/tests/logs/image.txt
tag=localhost/cpl-gateway

say() { printf 'image: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

for tool in buildah mmdebstrap curl; do
  command -v "$tool" >/dev/null || die "install $tool (apt-get install buildah mmdebstrap curl)"
done
[ "$(id -u)" = 0 ] || die 'run it as root'
mkdir -p "$work"
# Nothing of this goes to where the user's own images are.
store() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
clean() {
  store rm --all >/dev/null 2>&1 || true
  [ -n "${CPL_IMAGE_KEEP:-}" ] || { store rmi --all --force >/dev/null 2>&1 || true; rm -rf "$work"; }
}
trap clean EXIT
commit=$(git describe --always --dirty)

if ! store inspect --type image localhost/debian:bookworm >/dev/null 2>&1; then
  say 'a base from Debian packages'
  # What this machine needs to reach mirror and package index, the container needs too.
  options=()
  for name in Acquire::Check-Valid-Until Acquire::Check-Date Acquire::http::Proxy; do
    eval "$(apt-config shell value "$name")"
    [ -z "${value:-}" ] || options+=("--aptopt=$name \"$value\"")
    value=
  done
  for own in /usr/local/share/ca-certificates/*.crt; do
    [ ! -e "$own" ] || options+=("--customize-hook=copy-in $own /usr/local/share/ca-certificates")
  done
  [ ! -e /etc/pip.conf ] || options+=('--customize-hook=copy-in /etc/pip.conf /etc')
  # shellcheck disable=SC2016  # mmdebstrap's argument
  mmdebstrap --quiet --variant=minbase --include=ca-certificates "${options[@]}" \
    --customize-hook='chroot "$1" update-ca-certificates' bookworm "$work/base.tar" >"$work/base.log" 2>&1 ||
    { tail -n 20 "$work/base.log"; die 'mmdebstrap failed'; }
  base=$(store from scratch)
  store add --quiet "$base" "$work/base.tar" / >/dev/null
  store config --cmd /bin/bash "$base"
  store commit --quiet "$base" localhost/debian:bookworm >/dev/null
  store rm "$base" >/dev/null
  rm "$work/base.tar"
fi

say "building ($work/build.log)"
store bud --isolation chroot --layers --build-arg BASE=localhost/debian:bookworm \
  -f examples/deploy/Containerfile -t "$tag" . >"$work/build.log" 2>&1 ||
  { tail -n 30 "$work/build.log"; die 'the image cannot be built'; }

say 'running it'
box=$(store from "$tag")
inside() { store run --isolation chroot "$box" -- "$@"; }
show() { echo; echo "\$ $*"; inside "$@"; }
port=$((20000 + RANDOM % 10000))
cat >"$work/cameras.toml" <<END
[rtsp]
port = $((port + 1))
[http]
port = $port
[[camera]]
name = "away"
url = "rtsp://127.0.0.1:9/none"
END
store copy --quiet "$box" "$work/cameras.toml" /etc/cpl-gateway/cameras.toml >/dev/null
gateway() {
  # As `podman run` would start it: entrypoint, arguments and user of the image.
  mapfile -t words < <(store inspect --format \
    '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' "$box" | sed '/^$/d')
  echo; echo "\$ ${words[*]} &"
  inside timeout --signal=TERM 20 "${words[@]}" >"$work/gateway.log" 2>&1 &
  local job=$! tries=0
  until curl -fsS "http://127.0.0.1:$port/readyz" >"$work/ready" 2>/dev/null; do
    ((++tries < 100)) || { cat "$work/gateway.log"; return 1; }
    sleep 0.1
  done
  echo "\$ curl -fsS http://127.0.0.1/readyz"
  cat "$work/ready"
  echo "\$ curl -fsS http://127.0.0.1/metrics | grep _up"
  curl -fsS "http://127.0.0.1:$port/metrics" | grep '^cpl_gateway_camera_up'
  local status=0
  wait "$job" || status=$?
  # 124: ended by timeout's SIGTERM, which is how a container is stopped.
  [ "$status" = 124 ] || { cat "$work/gateway.log"; return 1; }
  grep -o 'stopped$' "$work/gateway.log"
}
{
  echo "# Made by ./test.sh image from $commit"
  echo "# $(store --version); base: Debian's packages; isolation: chroot"
  store images --format "$tag: {{.Size}}" "$tag"
  show id -u
  show cat /etc/debian_version
  show gst-inspect-1.0 cplrestore | sed -n 1,12p
  show gst-launch-1.0 videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=320,height=240 ! \
    cpldegrade kind=rain ! cplrestore bypass=off ! fakesink
  show cpl info live | sed -n 1,9p
  show cpl-gateway --check /etc/cpl-gateway/cameras.toml
  gateway
} >"$work/run.log" 2>&1 || { tail -n 40 "$work/run.log"; die 'the image does not work'; }
cp "$work/run.log" "$log"
say "done: $log"
