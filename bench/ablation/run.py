#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What are prompts, their sparsity and the contrastive regularisation worth, at equal budgets?

    bench/ablation/run.py --clean DIR --out DIR [--eval DIR] [--steps 2000 | --minutes 10] [--seeds 3]

Trains the small live network of recipe.toml in each variant below with each seed, from the same photos, on data that is
the same for all variants of a seed. A budget is a number of --steps that is the same for all; or --minutes: each variant
is first run for a moment to see how many steps it makes in them (a contrastive step costs more, so it gets fewer).

Of the photos in DIR every fourth is kept for measuring: `cpl degrade` makes an evaluation set of them, at level 0.5, by
what the training degrades with. --eval names another one, DIR/KIND/{input,target}, whose kinds are called as prompts
with digits behind, or not (noise25). Figures are of Y, by `cpl eval --prompt-matrix`.

OUT gets every run's recipe, log and model, a JSON file for each evaluation, and report.md and report.json: mean and
spread (the standard deviation over seeds) of PSNR for each degradation, the matrix of degradations and forced prompts,
and what a wrong prompt costs: PSNR with the right one less the mean with those of the other degradations. Seed after
seed is trained, then all is measured. What is done already is kept and a run that was interrupted is resumed, so an
ablation goes on where it was.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ["noise", "rain", "snow", "haze"]
CPR = ["cpr.weight=0.1"]
VARIANTS = {
    "end_to_end": ["model.framework=end_to_end"],
    "prompt (dense)": ["model.framework=prompt"],
    "spm": ["model.framework=cpl"],
    "spm + cpr": ["model.framework=cpl", *CPR],
    "spm + cpr, no cap": ["model.framework=cpl", *CPR, "cpr.cap=false"],
    "spm + cpr, negatives learn": ["model.framework=cpl", *CPR, "cpr.negative_gradient=true"],
}
FIRST_FOUR = list(VARIANTS)[:4]


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
            f"run.threads={args.threads}", "run.checkpoint_seconds=60"]
    arguments = [part for assignment in sets for part in ("--set", assignment)]
    if (folder / "checkpoint.safetensors").exists():
        arguments.append("--resume")
    elif folder.exists():
        shutil.rmtree(folder)
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


def measure(args, name, seed, base, result):
    """PSNR of each degradation, and with each prompt forced where there are any, of one model."""
    if not result.exists():
        folder = args.out / "runs" / f"{name} {seed}"
        matrix = [] if name == "end_to_end" else ["--prompt-matrix"]
        run([args.cpl, "eval", "--model", folder / "model.safetensors", "--data", base, "--threads", args.threads,
             "--no-ssim", *matrix, "--json", result])
    found = json.loads(result.read_text())
    for part in ("kinds", "matrix"):
        found[part] = {kind.rstrip("0123456789"): row for kind, row in found.get(part, {}).items()}
    return found


def summarise(runs):
    """Of a variant: its seeds' evaluations."""
    psnr = {kind: [r["kinds"][kind]["psnr_y"] for r in runs] for kind in KINDS}
    summary = {"psnr_y": psnr, "mean": [statistics.mean(seed) for seed in zip(*psnr.values())]}
    if "clean" in runs[0]["kinds"]:
        summary["clean"] = [r["kinds"]["clean"]["psnr_y"] for r in runs]
    if runs[0]["matrix"]:
        prompts = list(runs[0]["matrix"][KINDS[0]])
        summary["matrix"] = {kind: {prompt: [r["matrix"][kind][prompt] for r in runs] for prompt in prompts} for kind in KINDS}
        summary["cost"] = [statistics.mean(row[kind] - statistics.mean(row[other] for other in KINDS if other != kind)
                                           for kind, row in r["matrix"].items() if kind in KINDS) for r in runs]
    return summary


def report(args, title, found, steps):
    head = ["variant", "steps", *KINDS, "mean", "clean", "a wrong prompt costs"]
    lines = ["", f"## {title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    matrices, summaries = [], {}
    for name, runs in found.items():
        summary = summaries[name] = summarise(runs)
        cells = [name, str(steps[name]), *(spread(summary["psnr_y"][kind]) for kind in KINDS), spread(summary["mean"]),
                 spread(summary["clean"]) if "clean" in summary else "", spread(summary["cost"]) if "cost" in summary else ""]
        lines.append("| " + " | ".join(cells) + " |")
        if "matrix" not in summary:
            continue
        prompts = list(summary["matrix"][KINDS[0]])
        matrices += ["", f"{name}: rows are degradations, columns forced prompts", "",
                     "| | " + " | ".join(prompts) + " |", "|---" * (len(prompts) + 1) + "|"]
        for kind in KINDS:
            means = [f"{statistics.mean(summary['matrix'][kind][prompt]):.2f}" for prompt in prompts]
            matrices.append(f"| {kind} | " + " | ".join(means) + " |")
    inputs = [next(iter(found.values()))[0]["kinds"][kind]["psnr_input_y"] for kind in KINDS]
    cells = ["(the input)", "", *(f"{psnr:.2f}" for psnr in inputs), f"{statistics.mean(inputs):.2f}", "", ""]
    lines.append("| " + " | ".join(cells) + " |")
    return [*lines, *matrices], {"input_y": dict(zip(KINDS, inputs)), "variants": summaries}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=pathlib.Path, required=True, help="folder of clean photos")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--eval", type=pathlib.Path, help="one more set to measure on")
    parser.add_argument("--cpl", type=pathlib.Path, default=HERE.parent.parent / "build/train/cpl")
    parser.add_argument("--minutes", type=float, default=10, help="of training for each run")
    parser.add_argument("--steps", type=int, default=0, help="the same number of steps for all, instead of --minutes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=12, help="photos to measure on")
    parser.add_argument("--variants", nargs="*", default=FIRST_FOUR, choices=list(VARIANTS))
    parser.add_argument("--train-only", action="store_true", help="measure in a later call")
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    prepare(args)
    steps = {name: steps_in(args, name, VARIANTS[name]) for name in args.variants}
    done = 0
    for seed in range(1, args.seeds + 1):
        for name in args.variants:
            folder = args.out / "runs" / f"{name} {seed}"
            if not (folder / "done").exists():
                begin = time.monotonic()
                train(args, folder, VARIANTS[name], seed, steps[name])
                (folder / "done").touch()
                print(f"{name}, seed {seed}: trained in {time.monotonic() - begin:.0f} s", flush=True)
        done = seed
    if args.train_only:
        return
    text, data = [], {"steps": steps, "seeds": done, "sets": {}}
    sets = {"own degradations": args.out / "eval", **({"other degradations": args.eval} if args.eval else {})}
    for title, base in sets.items():
        found = {}
        for name in args.variants:
            found[name] = []
            for seed in range(1, done + 1):
                result = args.out / "runs" / f"{name} {seed}" / f"{title.split()[0]}.json"
                found[name].append(measure(args, name, seed, base, result))
                print(f"{title}: {name}, seed {seed}", flush=True)
        lines, data["sets"][title] = report(args, title, found, steps)
        text += lines
    budget = f"{args.steps} steps" if args.steps else f"{args.minutes:g} minutes on {args.threads} threads"
    head = f"PSNR of Y in dB, mean ± standard deviation over {done} seeds; each run: {budget}."
    text = "\n".join([head, *text, ""])
    (args.out / "report.md").write_text(text)
    (args.out / "report.json").write_text(json.dumps(data, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
