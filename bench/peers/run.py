# SPDX-License-Identifier: Apache-2.0
"""Speed beside peers, in one run and one table. Called by run.sh."""
import argparse
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile

import frames
import networks

PARTS = ["bench", "sweep", "frames", "network"]   # in this order: PyTorch's threads come last
SWEEP = ["640x360", "960x540", "1280x720", "1920x1080", "2560x1440", "3840x2160"]


def machine():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} CPUs"
    return platform.machine()


def cpu_flags():
    for line in open("/proc/cpuinfo"):
        if line.startswith("flags"):
            return line.split()
    return []


def busy_s():
    """CPU seconds that all processes of the machine took, kernel and steal included."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_s():
    return sum(part for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
               for part in resource.getrusage(who)[:2])


def cpl_json(cpl, *words):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        done = subprocess.run([cpl, *map(str, words), "--json", file.name], text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(done.stderr)
        return json.loads(pathlib.Path(file.name).read_text())


def sweep(cpl, model, threads):
    """The element and memory by size of the frame."""
    rows = []
    for size in SWEEP:
        bench = cpl_json(cpl, "bench", "--model", model, "--threads", threads, "--size", size,
                         "--frames", 15, "--quick")
        width, height = map(int, size.split("x"))
        rows.append({"size": size, "pixels": width * height,
                     "element_ms": bench["element_ms"]["p50"],
                     "network_ms": bench["network_ms"]["p50"], "rss_mb": bench["rss_mb"],
                     "first_frame_s": bench["first_frame_s"], "precision": bench["precision"]})
        print(f"peers: {size}: {rows[-1]['element_ms']:.1f} ms", flush=True)
    return rows


def plot(rows):
    """Time by pixels as SVG, with the line through the origin and the largest size."""
    width, height, left, bottom = 640, 400, 60, 50
    most_x, most_y = (max(r[k] for r in rows) * 1.08 for k in ("pixels", "element_ms"))

    def at(pixels, ms):
        return (left + pixels / most_x * (width - left - 20),
                height - bottom - ms / most_y * (height - bottom - 20))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    x0, y0 = at(0, 0)
    x1, y1 = at(most_x, 0)[0], at(0, most_y)[1]
    parts.append(f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="#444"/>')
    slope = max(r["element_ms"] / r["pixels"] for r in rows[-1:])
    xe, ye = at(most_x, min(most_y, slope * most_x))
    parts.append(f'<path d="M{x0} {y0}L{xe:.1f} {ye:.1f}" stroke="#bbb" stroke-dasharray="4"/>')
    for row in rows:
        x, y = at(row["pixels"], row["element_ms"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1668b8"/>'
                     f'<text x="{x - 6:.1f}" y="{y - 8:.1f}" text-anchor="end">{row["size"]} '
                     f'{row["element_ms"]:.0f} ms</text>')
    parts.append(f'<text x="{(x0 + x1) / 2}" y="{height - 14}" text-anchor="middle">pixels of a '
                 f'frame (to {most_x / 1e6:.1f} million)</text>'
                 f'<text x="14" y="{(y0 + y1) / 2}" transform="rotate(-90 14 {(y0 + y1) / 2})" '
                 'text-anchor="middle">element, ms a frame</text></svg>')
    return "\n".join(parts) + "\n"


def markdown(result):
    net, whole = result["network"], result["frames"]
    peaks = ", ".join(f"{name} {gmacs:.0f}" for name, gmacs in net["peak_gmacs"].items())
    bf16 = ("ONNX Runtime's CPU kernels have no bf16 convolution."
            if "bf16" in net["peak_gmacs"] else
            "This processor multiplies no bf16.")
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items() if k != "CPUs")
    others = ", ".join(f"{100 * result['others_' + part]:.0f} % ({part})" for part in PARTS)
    lines = ["# Beside peers", "",
             f"`bench/peers/run.sh --commit`, one run: {result['machine']}, {net['threads']} "
             f"threads, model {result['model']} ({result['macs_per_pixel']:.0f} multiply-adds a "
             f"pixel), commit {result['commit']}. {versions}. Of the CPU time of the machine while it "
             f"ran, others took {others}: figures of a part with more than a few per cent mean "
             "little.", "",
             "## The same network", "",
             f"The network proper at {net['size']}, one prompt folded in, same inputs; contenders "
             "take turns. Peak: a 2048^3 product of the same type by PyTorch in the same turns "
             f"({peaks} GMAC/s). Deviation: largest difference from ours in float32, of the largest "
             f"value. {bf16} int8: quantised by each engine's own tool (ONNX Runtime's, NNCF) on what is "
             "timed; of float32's peak.", "",
             "| | median ms | best ms | of the peak | time over ours, same precision | deviation |",
             "|---|---:|---:|---:|---:|---:|"]
    for name, ms in net["ms"].items():
        ours = net["ms"]["ours " + name.rsplit(" ", 1)[1]]["median"]
        lines.append(f"| {name} | {ms['median']:.1f} | {ms['best']:.1f} | "
                     f"{100 * ms['share_of_peak']:.0f} % | {ms['median'] / ours:.2f} | "
                     f"{net['deviation'][name]:.1e} |")
    lines += ["", "## Whole frames, raw NV12 in", "",
              f"At {whole['size']}; {whole['note']}.", "", "| | ms a frame | least to most | how |",
              "|---|---:|---:|---|"]
    lines += [f"| {name} | {row['ms']:.1f} | {row['least']:.1f} to {row['most']:.1f} | {row['how']} |"
              for name, row in whole["rows"].items()]
    lines += ["", "## By size", "", "![time by pixels](peers.svg)", "",
              "| size | element, ms | ns a pixel | network, ms | resident, MB | first frame, s |",
              "|---|---:|---:|---:|---:|---:|"]
    for row in result["sweep"]:
        lines.append(f"| {row['size']} | {row['element_ms']:.1f} | "
                     f"{1e6 * row['element_ms'] / row['pixels']:.1f} | {row['network_ms']:.1f} | "
                     f"{row['rss_mb']:.0f} | {row['first_frame_s']:.2f} |")
    both = [result["bench"]] + ([result["bench_avx2"]] if "bench_avx2" in result else [])
    lines += ["", "## `cpl bench`", "",
              "| | this machine |" + (" AVX2 only |" if len(both) > 1 else ""),
              "|---|" + "---:|" * len(both)]

    def row(title, value):
        lines.append(f"| {title} | " + " | ".join(value(b) for b in both) + " |")

    row("precision, kernels", lambda b: f"{b['precision']}, {b['isa']}")
    row("matrix peak, GMAC/s", lambda b: f"{b['peak_gmacs']:.0f}")
    row(f"network at {both[0]['size']}, ms", lambda b: f"{b['network_ms']['p50']:.1f}")
    row("of the peak", lambda b: f"{100 * b['network_share']:.0f} %")
    row("element, ms (p95)", lambda b: f"{b['element_ms']['p50']:.1f} "
                                       f"({b['element_ms']['p95']:.1f})")
    row("element over network", lambda b: f"{b['element_over_network']:.2f}")
    for stream in both[0]["streams"]:
        row(f"streams of {stream} (frames/s in all)",
            lambda b: f"{b['streams'][stream]} ({b['streams_fps'][stream]:.0f})")
    row("first frame, s", lambda b: f"{b['first_frame_s']:.2f}")
    row("resident, MB", lambda b: f"{b['rss_mb']:.0f}")
    row("recommended", lambda b: f"{b['recommended']['precision']}, "
                                 f"{b['recommended']['threads']} threads")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="bench/peers/run.sh")
    parser.add_argument("--model", default="live", help="file or name")
    parser.add_argument("--prompt", default="rain")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count()))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS,
                        help="measure these only; the table takes the others from the runs before")
    parser.add_argument("--commit", action="store_true", help="write bench/results/peers.*")
    parser.add_argument("--build", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--root", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = tuple(map(int, options.size.split("x")))
    cpl = options.build / "train" / "cpl"
    info = json.loads(subprocess.run([cpl, "info", options.model, "--json"], check=True,
                                     capture_output=True, text=True).stdout)
    model = info["path"]
    commit = subprocess.run(["git", "-C", options.root, "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    flags = cpu_flags()

    def bench():
        def run(*more):
            return cpl_json(cpl, "bench", "--model", model, "--size", options.size, "--threads",
                            options.threads, *more)
        found = {"bench": run()}
        if "avx512f" in flags:
            found["bench_avx2"] = run("--isa", "avx2")
        for one in found.values():
            one["model"] = pathlib.Path(one["model"]).name
        return found

    def network():
        return {"network": networks.compare(
            options.build / "bench" / "peers_contender", model, options.prompt, size,
            options.threads, options.rounds, info["macs_per_pixel"], "avx512_bf16" in flags),
            "versions": {**networks.versions(), **frames.versions()}}

    measure = {"bench": bench, "network": network,
               "sweep": lambda: {"sweep": sweep(cpl, model, options.threads)},
               "frames": lambda: {"frames": frames.measure(size, options.threads, model)}}
    about = {"machine": machine(), "model": pathlib.Path(model).name, "commit": commit,
             "macs_per_pixel": info["macs_per_pixel"], "size": options.size,
             "threads": options.threads}
    scratch = options.root / "out/peers"
    scratch.mkdir(parents=True, exist_ok=True)
    def file_of(part):
        return scratch / f"part-{part}.json"

    for part in PARTS:
        if part in options.parts:
            busy, own = busy_s(), own_s()
            found = measure[part]()
            busy, own = busy_s() - busy, own_s() - own
            found["others_" + part] = max(0.0, (busy - own) / max(busy, 1e-9))
            file_of(part).write_text(json.dumps({"about": about, "found": found}))
    result = dict(about)
    for part in PARTS:
        if not file_of(part).exists():
            sys.exit(f"peers: no table yet: part {part} has not run")
        kept = json.loads(file_of(part).read_text())
        if kept["about"] != about:
            sys.exit(f"peers: no table: part {part} was measured on another machine, commit, "
                     "model, size or number of threads; run it again")
        result.update(kept["found"])

    folder = options.root / "bench/results" if options.commit else scratch
    text = markdown(result)
    (folder / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "peers.md").write_text(text)
    (folder / "peers.svg").write_text(plot(result["sweep"]))
    print(text)


if __name__ == "__main__":
    main()
