#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much faster is a training step on more ranks of this machine, one thread each?

    bench/scaling.py --clean DIR [--cpl build/train/cpl] [--ranks 1 2] [--steps 40]

Trains bench/ablation/recipe.toml under mpirun with each number of ranks, and as one process with as many threads, which
shares a step without sending gradients: the ratio of the two is what the sending costs. Samples per second are those of
the run's second half. Nothing else should run meanwhile.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def rate(args, folder, launcher, threads):
    sets = [f"data.clean=['{args.clean.resolve()}']", f"run.output={folder}", f"run.threads={threads}",
            f"run.log_every={args.steps // 2}", f"stage.single.steps={args.steps}"]
    command = [*launcher, args.cpl, "train", HERE / "ablation" / "recipe.toml"]
    command += [part for assignment in sets for part in ("--set", assignment)]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(result.stderr)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line][-1]["samples_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=pathlib.Path, required=True, help="folder of clean photos")
    parser.add_argument("--cpl", type=pathlib.Path, default=HERE.parent / "build/train/cpl")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for ranks in args.ranks:
            launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "core", "-n", ranks]
            many = rate(args, pathlib.Path(folder) / f"ranks{ranks}", launcher, 1)
            one = rate(args, pathlib.Path(folder) / f"threads{ranks}", [], ranks)
            first = first or many
            print(f"{ranks} ranks: {many:.1f} samples/s, {many / first:.2f} times the first; "
                  f"one process with {ranks} threads: {one:.1f}, so ranks reach {many / one:.2f} of it", flush=True)


if __name__ == "__main__":
    main()
