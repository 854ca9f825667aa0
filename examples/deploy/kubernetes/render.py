#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills in the manifests and writes them to standard output: render.py --image ... | kubectl apply -f -

Needs nothing but Python 3.11. What is wrong with the list of cameras for a pod is said here, not by
pods that do not become ready.
"""
import argparse
import hashlib
import pathlib
import string
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
# etcd takes objects of up to 1.5 MiB; the API server's default for a ConfigMap is 1 MiB.
MOST_BYTES = 1_000_000


def complain(text: str) -> None:
    sys.exit(f"render: {text}")


def read_cameras(path: pathlib.Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        config = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        complain(f"{path}: {error}")
    for server in ("rtsp", "http"):
        if config.get(server, {}).get("address") != "0.0.0.0":
            complain(f'{path}: [{server}] needs address = "0.0.0.0", or nobody reaches the pod')
        if config[server].get("port", {"rtsp": 8554, "http": 9554}[server]) not in (8554, 9554):
            complain(f"{path}: leave [{server}] port out: the manifests name 8554 and 9554")
    if len(text.encode()) > MOST_BYTES:
        complain(f"{path}: {len(text.encode())} bytes do not fit into a ConfigMap; "
                 "make a list and a namespace for each site")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default="localhost/cpl-gateway:latest")
    parser.add_argument("--cameras", type=pathlib.Path, default=HERE / "cameras.toml")
    parser.add_argument("--namespace", default="cameras")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--max-replicas", type=int)
    parser.add_argument("--cpus", default="2", help="of a pod")
    parser.add_argument("--memory", default="2Gi", help="of a pod")
    parser.add_argument("--gpu", action="store_true", help="one NVIDIA GPU for each pod")
    parser.add_argument("--autoscale", choices=("none", "hpa", "keda"), default="none")
    parser.add_argument("--latency-ms", type=int, default=60,
                        help="95th percentile of a frame's time in the element to scale for")
    parser.add_argument("--prometheus", default="http://prometheus.monitoring.svc:9090")
    parser.add_argument("--cluster-domain", default="cluster.local")
    options = parser.parse_args()
    if options.replicas < 1:
        complain("--replicas must be at least 1")

    cameras = read_cameras(options.cameras)
    values = {
        "image": options.image,
        "namespace": options.namespace,
        "replicas": options.replicas,
        "max_replicas": options.max_replicas or 4 * options.replicas,
        "cpus": options.cpus,
        "memory": options.memory,
        "latency_ms": options.latency_ms,
        "prometheus": options.prometheus,
        "cluster_domain": options.cluster_domain,
        "cameras": "\n".join(("    " + line).rstrip() for line in cameras.splitlines()),
        "digest": hashlib.sha256(cameras.encode()).hexdigest()[:16],
        "gpu_limit": '              nvidia.com/gpu: "1"' if options.gpu else "",
        "node_selector": "      nodeSelector:\n        nvidia.com/gpu.present: \"true\""
                         if options.gpu else "",
    }
    files = ["config.yaml", "services.yaml", "statefulset.yaml", "network-policy.yaml"]
    if options.autoscale != "none":
        files.append(f"autoscale-{options.autoscale}.yaml")
    documents = []
    for name in files:
        text = string.Template((HERE / name).read_text(encoding="utf-8")).substitute(values)
        documents.append("\n".join(line for line in text.splitlines() if line.strip()))
    print("\n---\n".join(documents))


main()
