#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Short, equal trainings of several shapes of the live network, to choose between them.

  bench/shapes/run.py CPL DATA EVAL OUT [--steps N] [--threads N] [SHAPE...]

CPL is the command; DATA is what weights/live.toml wants as data.root; EVAL is a folder in the layout of
`cpl eval --data`, of pictures that are not in DATA. Each shape learns single frames from scratch with the same
seed, samples and schedule, and is then measured with its prompt pinned, since so short a training does not
make a router. Leaves OUT/shapes.json and prints a table. README.md has what came out, and what was chosen.
"""
import argparse
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHAPES = {  # channels, encoder, decoder
    "live": ([16, 32, 48, 48], [0, 1, 1, 1], [0, 0, 0]),
    "live-even": ([16, 32, 32, 64], [0, 1, 1, 1], [0, 0, 1]),
    "hq-deep": ([16, 32, 64, 64], [1, 2, 1, 1], [0, 1, 1]),
    "hq-wide": ([32, 32, 64, 64], [0, 1, 1, 1], [0, 1, 0]),
}
PROMPTS = {"noise25": "noise", "rain": "rain", "snow": "snow", "haze": "haze"}


def recipe(shape, steps):
    text = (ROOT / "weights" / "live.toml").read_text()
    for key, value in zip(("channels", "encoder", "decoder"), shape):
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.M)
    text = re.sub(r"^ema = .*$", "ema = 0.99", text, flags=re.M)
    head, first = text.split("[[stage]]")[:2]
    first = re.sub(r"^steps = .*$", f"steps = {steps}", first, flags=re.M)
    first = re.sub(r"^learning_rate = .*$", "learning_rate = 2e-3", first, flags=re.M)
    first = re.sub(r"^final_rate = .*$", "final_rate = 5e-5", first, flags=re.M)
    return head + "[[stage]]" + first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("cpl", "data", "eval", "out"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    rows = {}
    for name in args.shapes:
        run = args.out / name
        run.mkdir(parents=True)
        (run / "recipe.toml").write_text(recipe(SHAPES[name], args.steps))
        subprocess.run([args.cpl, "train", run / "recipe.toml", "--set", f"data.root={args.data.resolve()}", "--set",
                        f"run.output={run.resolve()}", "--set", f"run.threads={args.threads}"], check=True)
        model = run / "model.safetensors"
        info = json.loads(subprocess.run([args.cpl, "info", model, "--json"], check=True, capture_output=True).stdout)
        row = {"macs_per_pixel": info["macs_per_pixel"], "parameters": info["parameters"], "steps": args.steps}
        for kind, prompt in PROMPTS.items():
            found = run / f"{kind}.json"
            subprocess.run([args.cpl, "eval", "--model", model, "--precision", "fp32", "--data", args.eval, "--kinds",
                            kind, "--degradation", prompt, "--json", found], check=True, stdout=subprocess.DEVNULL)
            result = json.loads(found.read_text())["kinds"][kind]
            row[kind] = {key: round(result[key], 2) for key in ("psnr_input_rgb", "psnr_rgb", "psnr_input_y", "psnr_y")}
        rows[name] = row
        (args.out / "shapes.json").write_text(json.dumps(rows, indent=1) + "\n")
    print("shape      MAC/px  " + "".join(f"{kind:>16}" for kind in PROMPTS) + "   (gain, dB of Y)")
    for name, row in rows.items():
        gains = [row[kind]["psnr_y"] - row[kind]["psnr_input_y"] for kind in PROMPTS]
        print(f"{name:10} {row['macs_per_pixel']:6.0f}  " + "".join(f"{gain:16.2f}" for gain in gains))


if __name__ == "__main__":
    main()
