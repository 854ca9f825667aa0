#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check_deploy.sh GATEWAY: the files of examples/deploy and the examples of examples/gateway, as far
# as they can be checked without a cluster and without building an image:
#   - the gateway accepts the lists of cameras that we ship;
#   - every package that the container files install exists, every file that they copy is there;
#   - rendered manifests fit the schema of Kubernetes (kubernetes-validate from PyPI, in a virtual
#     environment of its own); those of KEDA, for which there is no schema, are well-formed YAML;
#   - systemd accepts the unit.
# What cannot be checked here is named. Exit status 77 when the schema could not be had.
set -euo pipefail
gateway=$(realpath "$1")
cd "$(dirname "$0")/../.."
VALIDATE=kubernetes-validate==1.37.0
versions=(1.28.0 1.37.0)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
fail() { printf 'check_deploy: %s\n' "$*" >&2; exit 1; }

# Names that the files use, with values that mean nothing.
for list in examples/gateway/cameras.toml examples/deploy/kubernetes/cameras.toml; do
  # shellcheck disable=SC2046  # words on purpose
  env $(grep -oE '"[A-Z_]+"' "$list" | tr -d '"' | sed 's/$/=x/') "$gateway" --check "$list" >"$out/list" ||
    fail "the gateway refuses $list"
  [ -s "$out/list" ] || fail "$list holds no camera"
done

for file in examples/deploy/Containerfile examples/deploy/Containerfile.cuda; do
  # Continuation lines joined; packages are the lower-case words of apt-get lines without a variable.
  sed -e ':a' -e '/\\$/N; s/\\\n//; ta' "$file" | grep 'apt-get install' |
    grep -oE '(lib|gstreamer)[a-z0-9.+-]+|ca-certificates' | sort -u >"$out/packages"
  [ "$(wc -l <"$out/packages")" -ge 10 ] || fail "$file: the packages were not found"
  if command -v apt-cache >/dev/null && [ -n "$(apt-cache policy gstreamer1.0-tools 2>/dev/null)" ]; then
    while read -r package; do
      apt-cache show "$package" >/dev/null 2>&1 || fail "$file: there is no package $package"
    done <"$out/packages"
  else
    echo "check_deploy: no package lists here, packages of $file were not checked"
  fi
  while read -r source; do [ -e "$source" ] || fail "$file copies $source, which is not there"; done \
    < <(awk '$1 == "COPY" && $2 !~ /^--from/ { print $2 }' "$file")
done

if command -v systemd-analyze >/dev/null; then
  # The program is not installed here: any other stands in for it.
  sed 's|^ExecStart=.*|ExecStart=/bin/true|' examples/gateway/cpl-gateway.service >"$out/cpl-gateway.service"
  systemd-analyze verify "$out/cpl-gateway.service" 2>"$out/unit" || fail "the unit: $(cat "$out/unit")"
else
  echo "check_deploy: no systemd-analyze here, the unit was not checked"
fi

render=examples/deploy/kubernetes/render.py
"$render" >"$out/cpu.yaml"
"$render" --gpu --autoscale hpa --replicas 3 >"$out/gpu-hpa.yaml"
"$render" --autoscale keda >"$out/keda.yaml"
grep -q 'nvidia.com/gpu: "1"' "$out/gpu-hpa.yaml" || fail "--gpu asks for no GPU"
if grep -nF "\${" "$out"/*.yaml; then fail "a value was not filled in"; fi
if "$render" --cameras examples/gateway/cameras.toml >/dev/null 2>"$out/refused"; then
  fail "a list of cameras that listens on localhost was rendered"
fi
grep -q 'nobody reaches the pod' "$out/refused" || fail "the refusal does not say why"

printf '{"threads": 2, "streams_fps": {"1280x720@30": 40}}' >"$out/bench.json"
examples/deploy/capacity.py "$out/bench.json" --fps 10 --clear 0.5 --look-ms 2 --codec-ms 4 --headroom 0.75 >"$out/nodes"
# 2 CPUs at 40 frames/s: 50 ms a frame, 0.5 * 50 + 0.5 * 2 + 4 = 30; 2 * 750 / (30 * 10) = 5.
[ "$(grep -cE '= 5 cameras|^10000 cameras: 2000 such nodes' "$out/nodes")" = 2 ] ||
  fail "capacity.py reckons wrong: $(cat "$out/nodes")"
if examples/deploy/capacity.py "$out/cpu.yaml" 2>/dev/null; then fail "capacity.py takes anything"; fi

validate=$(command -v kubernetes-validate || true)
if [ -z "$validate" ]; then
  cache=${CPL_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cplrestore}/${VALIDATE//==/-}
  validate=$cache/bin/kubernetes-validate
  if [ ! -x "$validate" ]; then
    rm -rf "$cache"
    if ! { python3 -m venv "$cache" && timeout 100 "$cache/bin/pip" install -q --retries 1 "$VALIDATE"; } >"$out/pip" 2>&1; then
      rm -rf "$cache"
      echo "check_deploy: skipped: the schema of Kubernetes ($VALIDATE from PyPI) is not to be had"
      exit 77
    fi
  fi
fi
for version in "${versions[@]}"; do
  for file in "$out/cpu.yaml" "$out/gpu-hpa.yaml" "$out/keda.yaml" examples/deploy/kubernetes/secret.example.yaml; do
    "$validate" --strict --kubernetes-version "$version" "$file" >"$out/said" 2>&1 ||
      fail "$(basename "$file") against Kubernetes $version: $(cat "$out/said")"
    # Nothing but KEDA's object may be unknown.
    if grep -v ScaledObject "$out/said" | grep -i "couldn't find schema"; then fail "a kind is unknown"; fi
  done
done
echo "check_deploy: the manifests fit Kubernetes ${versions[*]}; images were not built, nothing ran in a cluster"
