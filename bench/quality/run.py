# SPDX-License-Identifier: Apache-2.0
"""Measures models on the sets that README.md names. Called by run.sh."""
import argparse
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy

import measures
import peers
import report
from media import CLIPS, KINDS, REAL, REAL_FRAMES, Sets, extract, luma_clip, names, read_clip, run, say

MOTION_CLIPS = ["traffic", "street", "vtest"]
MOTION_KINDS = ["noise", "rain", "snow", "rain,noise"]
# Filters fast enough to run on whole clips beside a model.
CLIP_PEERS = ["hqdn3d", "atadenoise", "median5"]


class Command:
    """`cpl`, its results kept under OUT so that a run that was broken off goes on."""

    def __init__(self, cpl, out, precision):
        self.cpl, self.out, self.precision = cpl, out, precision

    def eval(self, name, *words):
        path = self.out / f"{name}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            say(f"cpl eval {name}")
            run([self.cpl, "eval", *words, "--json", path])
        return json.loads(path.read_text())

    def model(self, name, model, *words):
        return self.eval(name, "--model", model, "--precision", self.precision, *words)


def measure_sets(command, model, data, out):
    """The evaluation sets as they lie."""
    key = out.name
    stills = command.model(f"{key}/stills", model, "--data", data / "eval", "--prompt-matrix",
                           "--save", out / "stills")
    clips = command.model(f"{key}/clips", model, "--clips", data / "eval-clips",
                          "--save", out / "clips")
    return {"stills": stills["kinds"], "matrix": stills["matrix"], "clips": clips["kinds"],
            "precision": stills["precision"]}


def measure_clips(command, model, sets, out, inputs):
    """Degraded test clips: PSNR, and what needs the frames."""
    key = out.name
    place = sets.root / "level50"
    quality = command.model(f"{key}/level50", model, "--clips", place, "--no-ssim",
                            "--save", out / "level50")
    alone = command.model(f"{key}/alone", model, "--clips", place, "--kinds",
                          "noise,rain,snow", "--temporal", "off", "--no-ssim", "--save", out / "alone")
    path = out / "measures.json"
    if not path.exists():
        say(f"measuring flicker, ghosts, motion and people behind {key}")
        path.write_text(json.dumps(measure_frames(sets, out, inputs)))
    return {"kinds": quality["kinds"], "alone": alone["kinds"], **json.loads(path.read_text())}


class Originals:
    """What is known of the clean clips and of the degraded ones before any restoration."""

    def __init__(self, sets):
        self.scenes, self.motion, self.people, self.degraded = {}, {}, {}, {}
        for name in CLIPS:
            frames = read_clip(sets.clean(name))
            self.scenes[name] = measures.Scene(frames)
            if name in MOTION_CLIPS:
                self.motion[name] = measures.Motion(frames, CLIPS[name]["fps"])
                self.motion[name].on_clean = self.motion[name].score(frames)
            if name == "vtest":
                self.people = measures.people(frames)
        for kind, name in sets.cases():
            self.degraded[kind, name] = self.of(
                read_clip(sets.root / "level50" / kind / name / "input"), kind, name)

    def of(self, frames, kind, name):
        scene, y = self.scenes[name], luma_clip(frames)
        scores = {"flicker": scene.flicker(y), "moving": scene.moving_psnr(y),
                  "trail": scene.trail_psnr(y)}
        if name in MOTION_CLIPS and kind in MOTION_KINDS:
            scores["motion"] = self.motion[name].score(frames)
        if name == "vtest":
            scores["people"] = measures.people_score(measures.people(frames), self.people)
        return scores


def measure_frames(sets, out, originals):
    restored, alone = {}, {}
    for kind, name in sets.cases():
        label = f"{kind}/{name}"
        restored[label] = originals.of(read_clip(out / "level50" / kind / name), kind, name)
        folder = out / "alone" / kind / name
        if folder.exists():
            y = luma_clip(read_clip(folder))
            scene = originals.scenes[name]
            alone[label] = {"moving": scene.moving_psnr(y), "trail": scene.trail_psnr(y)}
    return {"restored": restored, "restored_alone": alone}


def measure_passing(command, model, sets, data, out):
    """What passes untouched when frames may: of clean clips all, of degraded ones nothing."""
    key = out.name
    result = {}
    for name, folder in [("clean", sets.root / "clean"), ("eval clean", data / "eval-clips")] + [
            (f"level {level / 100}", sets.root / f"pass{level}") for level in sets.levels]:
        words = ["--kinds", "clean"] if name == "eval clean" else []
        kinds = command.model(f"{key}/pass-{name.replace(' ', '-')}", model, "--clips", folder,
                              "--bypass", "auto", "--no-ssim", *words)["kinds"]
        result[name] = {kind: {"n": k["n"], "passed": k["bit_exact"],
                               "prompts": k["prompt_counts"], "changes": k["prompt_changes"]}
                        for kind, k in kinds.items()}
    return result


def restore_real(command, model, data, out, work):
    """The clips of real weather: no target, so nothing to measure but what passes and flickers."""
    result = {}
    for name, clip in REAL.items():
        folder = work / "real" / name
        extract(data / "clips" / clip["file"], clip["first"], REAL_FRAMES, folder)
        set_root = work / "real-set"
        for part in ("input", "target"):
            place = set_root / "real" / name / part
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(folder.resolve())
    command.model(f"{out.name}/real-off", model, "--clips", work / "real-set", "--no-ssim",
                  "--save", out / "real")
    for name in REAL:
        one = work / "real-one" / name / "real" / name
        one.parent.mkdir(parents=True, exist_ok=True)
        if not one.is_symlink():
            one.symlink_to((work / "real-set" / "real" / name).resolve())
        k = command.model(f"{out.name}/real-{name}", model, "--clips",
                          work / "real-one" / name, "--bypass", "auto",
                          "--no-ssim")["kinds"]["real"]
        before = luma_clip(read_clip(work / "real" / name))
        after = luma_clip(read_clip(out / "real" / "real" / name))
        steps = lambda y: float(numpy.abs(numpy.diff(y, axis=0)).mean())
        result[name] = {"n": k["n"], "passed": k["bit_exact"], "prompts": k["prompt_counts"],
                        "changes": k["prompt_changes"],
                        "step_before": steps(before), "step_after": steps(after),
                        "mean_before": float(before.mean()), "mean_after": float(after.mean()),
                        "contrast_before": float(before.std(axis=(1, 2)).mean()),
                        "contrast_after": float(after.std(axis=(1, 2)).mean())}
    return result


def measure_peers(command, data, sets, work, originals, full):
    root = data / "eval-clips"
    chosen = peers.restore_clips(root, work / "peers", full)
    haze = peers.restore_haze(data / "eval", work / "peers-haze")
    result = {"settings": {**chosen, **haze}, "versions": peers.versions(), "clips": {},
              "haze": {}, "long": {}}
    for name in chosen:
        result["clips"][name] = command.eval(f"peers/{name}", "--clips", root, "--restored",
                                             work / "peers" / name)["kinds"]
    for name in haze:
        result["haze"][name] = command.eval(
            f"peers/{name.replace(' ', '-')}", "--data", data / "eval", "--kinds", "haze",
            "--restored", work / "peers-haze" / name)["kinds"]
    path = work / "peers" / ("long-full.json" if full else "long.json")
    if not path.exists():
        long = {}
        for name in CLIP_PEERS:
            for kind in ("noise", "rain", "snow"):
                say(f"{name} on {kind}/traffic")
                clip = sets.root / "level50" / kind / "traffic"
                frames, target = read_clip(clip / "input"), read_clip(clip / "target")
                peer = peers.PEERS[name]
                setting = peers.best_setting(peer, frames[:40], target[:40], [20, 30])
                done = peer.apply(frames, list(range(len(frames))), setting)
                long.setdefault(name, {})[f"{kind}/traffic"] = {
                    "setting": setting, **originals.of(numpy.stack(done), kind, "traffic")}
        path.write_text(json.dumps(long))
    result["long"] = json.loads(path.read_text())
    return result


def machine():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} CPUs"
    return platform.machine()


def commit_of(root):
    done = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def check_data(data):
    missing = [data / name for name in ("eval", "eval-clips", "clips") if not (data / name).is_dir()]
    missing += [data / "clips" / clip["file"] for clip in [*CLIPS.values(), *REAL.values()]
                if not (data / "clips" / clip["file"]).exists()]
    if missing:
        sys.exit(f"quality: {missing[0]}: is missing; bench/quality/README.md says what must lie "
                 f"in DATA")


def main():
    parser = argparse.ArgumentParser(prog="bench/quality/run.sh")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model", action="append", help="file or name; may be repeated")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--full", action="store_true", help="longer clips, peers on every frame")
    parser.add_argument("--commit", action="store_true",
                        help="write the tables into docs/quality.md and bench/results too")
    parser.add_argument("--cpl", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--root", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    begin = time.time()
    check_data(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    sets = Sets(options.data, options.out, options.cpl, options.full)
    work = options.out / ("work-full" if options.full else "work")
    command = Command(options.cpl, work, options.precision)
    say("clips are ready")
    originals = Originals(sets)
    inputs = command.eval("inputs", "--model", "none", "--clips", options.data / "eval-clips")

    result = {"machine": machine(), "commit": commit_of(options.root),
              "mode": "full" if options.full else "default", "frames": sets.frames,
              "pass_frames": sets.pass_frames, "real_frames": REAL_FRAMES, "models": {},
              "inputs": inputs["kinds"],
              "degraded": {f"{k}/{n}": v for (k, n), v in originals.degraded.items()},
              "clean_motion": {n: m.on_clean for n, m in originals.motion.items()}}
    result["peers"] = measure_peers(command, options.data, sets, work, originals, options.full)
    for model in options.model or ["live"]:
        info = json.loads(subprocess.run([options.cpl, "info", model, "--json"], check=True,
                                         capture_output=True, text=True).stdout)
        path = pathlib.Path(info.get("path", model))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "name"
        name = path.stem
        out = work / f"{name}-{digest}-{options.precision}"
        out.mkdir(parents=True, exist_ok=True)
        result["models"][name] = {
            "file": path.name, "sha256": digest, "macs_per_pixel": info["macs_per_pixel"],
            "steps": info.get("steps"), "work": str(out),
            **measure_sets(command, model, options.data, out),
            "test_clips": measure_clips(command, model, sets, out, originals),
            "passing": measure_passing(command, model, sets, options.data, out),
            "real": restore_real(command, model, options.data, out, work)}
    result["seconds"] = round(time.time() - begin)
    report.write(result, options, sets, work)
    say(f"{options.out / 'report.html'} after {result['seconds']} s")


if __name__ == "__main__":
    main()
