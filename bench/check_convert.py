#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do PyTorch and the safetensors library read what `cpl convert` writes, and with the same numbers?

    python3 -m venv v && v/bin/pip install torch numpy safetensors
    v/bin/python bench/check_convert.py build/train/cpl

The checkpoints are those of tests/fixtures/pth, which PyTorch wrote. Each goes to .safetensors, from
there to .pth and to .safetensors again; torch.load(weights_only=True) and safetensors.safe_open read
them. Also held against the safetensors library: which of the small files in tests/fuzz/corpus are taken, and
which refused. Without PyTorch everything counts as skipped. The last line counts: "N passed, N failed, N skipped".
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import safetensors.torch
    import torch
except ImportError as error:
    torch, why_not = None, error

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures" / "pth"
results = {True: 0, False: 0}


def check(name, holds, why=""):
    results[bool(holds)] += 1
    if not holds:
        print(f"failed: {name} {why}".rstrip())


def convert(cpl, source, target):
    run = subprocess.run([cpl, "convert", "--tensors-only", source, target], capture_output=True, text=True)
    return run.returncode == 0, run.stderr.strip()


def data_of(tensor):
    tensor = tensor.detach().contiguous().reshape(-1)
    return tensor.view(torch.uint8).numpy().tobytes().hex() if tensor.numel() else ""


def same(tensors, expected):
    return tensors.keys() == expected.keys() and all(
        list(tensors[name].shape) == entry["shape"] and data_of(tensors[name]) == entry["data"]
        for name, entry in expected.items()
    )


def main(cpl):
    expected = json.loads((FIXTURES / "expected.json").read_text())
    corpus = sorted((ROOT / "tests" / "fuzz" / "corpus" / "safetensors").iterdir())
    if torch is None:
        print(f"{why_not}: nothing was checked")
        print(f"0 passed, 0 failed, {5 * len(expected) + len(corpus)} skipped")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, tensors in expected.items():
            once, pth, again = (folder / f"{name}{end}" for end in (".safetensors", ".pth", ".2.safetensors"))
            steps = [convert(cpl, FIXTURES / name, once), convert(cpl, once, pth), convert(cpl, pth, again)]
            check(f"{name}: convert", all(ok for ok, _ in steps), str(steps))
            check(f"{name}: safetensors", same(safetensors.torch.load_file(once), tensors))
            loaded = torch.load(pth, weights_only=True)
            check(f"{name}: torch.load", same(loaded["params"], tensors))
            check(f"{name}: torch.load mapped", same(torch.load(pth, weights_only=True, mmap=True)["params"], tensors))
            check(f"{name}: there and back", once.read_bytes() == again.read_bytes())
        for path in corpus:
            try:
                with safetensors.safe_open(path, framework="numpy") as file:
                    file.keys()
                theirs = True
            except (safetensors.SafetensorError, OSError):
                theirs = False
            ours, why = convert(cpl, path, folder / "x.safetensors")
            # Ours may be the stricter one (model/safetensors.h says where), never the laxer.
            check(f"{path.name}: both refuse", theirs or not ours)
            if theirs and not ours:
                print(f"stricter: {path.name}: {why}")
    print(f"{results[True]} passed, {results[False]} failed, 0 skipped")
    return 0 if results[True] and not results[False] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
