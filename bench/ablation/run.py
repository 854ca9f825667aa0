#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What are prompts, their sparsity and the contrastive regularisation worth, at equal budgets?

    bench/ablation/run.py --clean DIR --out DIR [--cpl build/train/cpl] [--minutes 10] [--seeds 3]

Trains the small live network of recipe.toml in each variant below with each seed, from the same photos, on data that is
the same for all variants of a seed. A budget is time: each variant is first run for a moment to see how many steps it
makes in --minutes (a contrastive step costs more, so it gets fewer of them); --steps N gives all the same number
instead. Of the photos in DIR every fourth is kept for measuring: `cpl degrade` makes the evaluation set of them, at
level 0.5. Figures are of Y, by `cpl eval --prompt-matrix`.

OUT gets every run's recipe, log and model, one JSON file for each evaluation, and report.md: mean and spread (the
standard deviation over seeds) of PSNR for each degradation, the matrix of degradations and forced prompts, and what a
wrong prompt costs: PSNR with the right one less the mean with those of the other degradations. Runs that are done
already are kept, so an interrupted ablation goes on where it was.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ["noise", "rain", "snow", "haze"]
CPR = ["cpr.weight=0.1", "cpr.negatives=2"]
VARIANTS = {
    "end_to_end": ["model.framework=end_to_end"],
    "prompt (dense)": ["model.framework=prompt"],
    "spm": ["model.framework=cpl"],
    "spm + cpr": ["model.framework=cpl", *CPR],
    "spm + cpr, no cap": ["model.framework=cpl", *CPR, "cpr.cap=false"],
    "spm + cpr, negatives learn": ["model.framework=cpl", *CPR, "cpr.negative_gradient=true"],
}


def run(command):
    command = [str(part) for part in command]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"failed: {' '.join(command)}\n{result.stderr.strip()}")
    return result.stdout


def prepare(args):
    """Shares the photos out: out/train, and out/eval/KIND/{input,target}."""
    train, base = args.out / "train", args.out / "eval"
    if base.is_dir():
        return
    photos = sorted(p for p in args.clean.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    kept = photos[::4][: args.pictures]
    train.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        if photo not in photos[::4] and not (train / photo.name).exists():
            (train / photo.name).symlink_to(photo.resolve())
    clean = args.out / "clean"
    clean.mkdir(exist_ok=True)
    for photo in kept:
        (clean / photo.name).unlink(missing_ok=True)
        (clean / photo.name).symlink_to(photo.resolve())
    partial = args.out / "eval.partial"
    for number, kind in enumerate(KINDS):
        (partial / kind).mkdir(parents=True, exist_ok=True)
        run([args.cpl, "degrade", clean, partial / kind / "input", "--kind", kind, "--level", "0.5", "--seed", number + 1])
        (partial / kind / "target").unlink(missing_ok=True)
        (partial / kind / "target").symlink_to(clean.resolve())
    partial.rename(base)


def train(args, folder, sets, seed, steps):
    sets = [*sets, f"seed={seed}", f"data.root={args.out}", f"run.output={folder}", f"stage.single.steps={steps}",
            f"run.threads={args.threads}"]
    arguments = [part for assignment in sets for part in ("--set", assignment)]
    run([args.cpl, "train", HERE / "recipe.toml", *arguments])


def steps_in(args, name, sets):
    """Steps of a variant that fit the budget, from a moment's run of it."""
    if args.steps:
        return args.steps
    rates = args.out / "rates.json"
    known = json.loads(rates.read_text()) if rates.exists() else {}
    if name not in known:
        steps = 60
        begin = time.monotonic()
        train(args, args.out / "rate" / name, sets, 1, 1)
        start = time.monotonic() - begin
        train(args, args.out / "rate" / (name + " more"), sets, 1, 1 + steps)
        known[name] = steps / max(time.monotonic() - begin - 2 * start, 1e-3)
        rates.write_text(json.dumps(known, indent=1))
    return max(1, round(known[name] * 60 * args.minutes))


def spread(values):
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {deviation:.2f}"


def report(args, found, steps):
    lines = ["| variant | steps | " + " | ".join(KINDS) + " | mean | a wrong prompt costs |", "|---" * (len(KINDS) + 4) + "|"]
    matrices = []
    for name, runs in found.items():
        rows = {kind: [r["kinds"][kind]["psnr_y"] for r in runs] for kind in KINDS}
        means = [statistics.mean(r["kinds"][kind]["psnr_y"] for kind in KINDS) for r in runs]
        cost = []
        for r in runs:
            for kind in KINDS:
                row = r["matrix"][kind]
                cost.append(row[kind] - statistics.mean(row[other] for other in KINDS if other != kind))
        per_seed = [statistics.mean(cost[i * len(KINDS):(i + 1) * len(KINDS)]) for i in range(len(runs))]
        lines.append(f"| {name} | {steps[name]} | " + " | ".join(spread(rows[k]) for k in KINDS) +
                     f" | {spread(means)} | {spread(per_seed)} |")
        prompts = list(runs[0]["matrix"][KINDS[0]])
        matrices += ["", f"{name}: rows are degradations, columns forced prompts", "",
                     "| | " + " | ".join(prompts) + " |", "|---" * (len(prompts) + 1) + "|"]
        for kind in KINDS:
            cells = [f"{statistics.mean(r['matrix'][kind][p] for r in runs):.2f}" for p in prompts]
            matrices.append(f"| {kind} | " + " | ".join(cells) + " |")
    first = next(iter(found.values()))[0]
    inputs = " | ".join(f"{first['kinds'][k]['psnr_input_y']:.2f}" for k in KINDS)
    mean = statistics.mean(first["kinds"][k]["psnr_input_y"] for k in KINDS)
    lines.append(f"| (the input) | | {inputs} | {mean:.2f} | |")
    budget = f"{args.steps} steps" if args.steps else f"{args.minutes:g} minutes on {args.threads} threads"
    head = f"PSNR of Y in dB, mean ± standard deviation over {args.seeds} seeds; each run: {budget}."
    text = "\n".join([head, "", *lines, *matrices, ""])
    (args.out / "report.md").write_text(text)
    print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=pathlib.Path, required=True, help="folder of clean photos")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--cpl", type=pathlib.Path, default=HERE.parent.parent / "build/train/cpl")
    parser.add_argument("--minutes", type=float, default=10, help="of training for each run")
    parser.add_argument("--steps", type=int, default=0, help="the same number of steps for all, instead of --minutes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=12, help="photos to measure on")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    prepare(args)
    found, steps = {}, {}
    for name in args.variants:
        steps[name] = steps_in(args, name, VARIANTS[name])
        found[name] = []
        for seed in range(1, args.seeds + 1):
            folder = args.out / "runs" / f"{name} {seed}"
            result = folder / "eval.json"
            if not result.exists():
                if folder.exists():
                    subprocess.run(["rm", "-rf", str(folder)], check=True)
                train(args, folder, VARIANTS[name], seed, steps[name])
                run([args.cpl, "eval", "--model", folder / "model.safetensors", "--data", args.out / "eval",
                     "--prompt-matrix", "--json", result])
            found[name].append(json.loads(result.read_text()))
            print(f"{name}, seed {seed}: {found[name][-1]['mean']['psnr_y']:.2f} dB", flush=True)
    report(args, found, steps)


if __name__ == "__main__":
    main()
