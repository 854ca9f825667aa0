#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does TensorBoard itself read a run's event files, and find in them what log.jsonl says?

    python3 -m venv v && v/bin/pip install tensorboard 'setuptools<81'
    v/bin/python bench/check_events.py runs/NAME

Reads every event file of the folder with TensorBoard's own reader, which checks the checksums, and holds scalars
against the JSON lines, the sample sheets against samples/*.png, and the recipe's text. Works on any run, one that was
interrupted and resumed as well. Without TensorBoard everything counts as skipped. The last line counts:
"N passed, N failed, N skipped".
"""
import json
import pathlib
import sys

try:
    from tensorboard.backend.event_processing import event_accumulator
except ImportError as error:
    event_accumulator, why_not = None, error

results = {True: 0, False: 0}


def check(name, holds, why=""):
    results[bool(holds)] += 1
    if not holds:
        print(f"failed: {name} {why}".rstrip())


def main(folder):
    folder = pathlib.Path(folder)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # A resumed run makes some steps again: the last line of a step counts, and none that a start took back.
    statuses, validations = {}, {}
    for line in lines:
        if line.get("event") == "start":
            statuses = {step: s for step, s in statuses.items() if step <= line["step"]}
            validations = {step: v for step, v in validations.items() if step <= line["step"]}
        elif line.get("event") == "validation":
            validations[line["step"]] = line
        else:
            statuses[line["step"]] = line
    if event_accumulator is None:
        print(f"{why_not}: nothing was checked")
        print(f"0 passed, 0 failed, {len(statuses) + len(validations) + 2} skipped")
        return 0
    events = event_accumulator.EventAccumulator(
        str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in tags["scalars"]}

    def same(tag, step, value):
        found = scalars.get(tag, {}).get(step)
        near = found is not None and abs(found - value) <= 1e-5 * max(1, abs(value))
        check(f"{tag} at step {step}", near, f"is {found}, log.jsonl says {value}")

    for step, status in statuses.items():
        same("train/loss", step, status["loss"])
        same("train/learning_rate", step, status["learning_rate"])
        for prompt, (_, _, psnr) in status["psnr"].items():
            same(f"psnr/{prompt}", step, psnr)
    for step, line in validations.items():
        if line["psnr_rgb"] is not None:
            same("validation/psnr_rgb", step, line["psnr_rgb"])
    check("no step is there that was taken back", set(scalars.get("train/loss", {})) == set(statuses))
    text = [tag for tag in tags["tensors"] if tag.startswith("recipe")]
    check("the recipe's text", text and b"[[stage]]" in events.Tensors(text[0])[0].tensor_proto.string_val[0])
    images = {e.step: e for tag in tags["images"] for e in events.Images(tag)}
    for path in sorted((folder / "samples").glob("*.png")):
        image = images.get(int(path.stem))
        check(path.name, image is not None and image.encoded_image_string == path.read_bytes())
    print(f"{results[True]} passed, {results[False]} failed, 0 skipped")
    return 0 if results[True] and not results[False] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
