# SPDX-License-Identifier: Apache-2.0
"""Times the paper's network: ours in C++ against a twin in PyTorch. Called by run.sh."""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import safetensors.torch
import torch

from twin import SparsePromptIR

CONFIG = {
    "dim": 48, "num_blocks": [4, 6, 6, 8], "num_refinement_blocks": 4, "heads": [1, 2, 4, 8],
    "ffn_expansion_factor": 2.66, "prompt_dim": [64, 128, 320], "prompt_size": [64, 32, 16],
    "num_expert": 1, "framework": "cpl",
}


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


class Ours:
    def __init__(self, binary, model, threads, precision, scratch_mb):
        self.process = subprocess.Popen(
            [binary, model, str(threads), precision, str(scratch_mb)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, width, height, picture, out="-"):
        self.process.stdin.write(f"{width} {height} {picture} {out}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the C++ contender ended; see above")
        return float(line)


class Theirs:
    def __init__(self, network, channels_last=False, compiled=False):
        self.network, self.channels_last = network, channels_last
        if channels_last:
            for weight in network.parameters():
                if weight.dim() == 4:
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if compiled:
            self.network = torch.compile(self.network)

    def run(self, image):
        if self.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            begin = time.perf_counter()
            result = self.network(image)
            return (time.perf_counter() - begin) * 1e3, result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contender", required=True, help="the C++ program")
    parser.add_argument("--sizes", default="256x256,640x480")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch-mb", type=int, default=0, help="0: the program's default")
    parser.add_argument("--twins", default="eager,channels_last,compile")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    weights = SparsePromptIR().state_dict()

    def twin():
        network = SparsePromptIR()
        network.load_state_dict(weights)
        return network.eval().to(dtype)

    makers = {
        "eager": lambda: Theirs(twin()),
        "channels_last": lambda: Theirs(twin(), channels_last=True),
        "compile": lambda: Theirs(twin(), compiled=True),
    }
    twins = {name: makers[name]() for name in options.twins.split(",")}

    report = {
        "machine": f"{cpu_name()}, {os.cpu_count()} CPUs", "torch": torch.__version__,
        "memory_kept": "MALLOC_TRIM_THRESHOLD_" in os.environ,
        "threads": options.threads, "precision": options.precision, "rounds": options.rounds,
        "note": "milliseconds of one picture; in each round the contenders take turns",
        "sizes": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "model.safetensors"
        safetensors.torch.save_file(weights, model, {
            "format": "cpl", "format_version": "1", "architecture": "sparse_prompt_ir",
            "framework": "cpl", "config": json.dumps(CONFIG),
            "prompts": json.dumps([f"prompt{i}" for i in range(5)])})
        ours = Ours(options.contender, str(model), options.threads, options.precision,
                    options.scratch_mb)
        for size in options.sizes.split(","):
            width, height = map(int, size.split("x"))
            image = torch.rand(1, 3, height, width)
            picture, out = folder / "in", folder / "out"
            picture.write_bytes(image.numpy().tobytes())
            # The first runs warm up and compare.
            ours.run(width, height, picture, out)
            restored = torch.from_numpy(
                numpy.frombuffer(out.read_bytes(), numpy.float32).reshape(1, 3, height, width).copy())
            times = {"cplrestore": []}
            entry = {"max_deviation": {}}
            for name, contender in twins.items():
                _, result = contender.run(image.to(dtype))
                entry["max_deviation"][name] = float((result.float() - restored).abs().max())
                times[name] = []
            for _ in range(options.rounds):
                times["cplrestore"].append(ours.run(width, height, picture))
                for name, contender in twins.items():
                    times[name].append(contender.run(image.to(dtype))[0])
            best = {name: statistics.median(values) for name, values in times.items()}
            entry["ms"] = {name: [round(v, 1) for v in values] for name, values in times.items()}
            entry["median_ms"] = {name: round(v, 1) for name, v in best.items()}
            entry["speedup_over"] = {
                name: round(value / best["cplrestore"], 2)
                for name, value in best.items() if name != "cplrestore"}
            report["sizes"][size] = entry
            print(size, json.dumps(entry["median_ms"]), "speed-up", json.dumps(entry["speedup_over"]),
                  "deviation", json.dumps(entry["max_deviation"]), flush=True)
    if options.json:
        path = pathlib.Path(options.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
