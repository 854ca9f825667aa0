#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of one picture through a network of the paper's size, by `cpl restore`.

    ninja -C build train/cpl bench/paper_pictures
    bench/paper_network/memory.py [--size 1920x1080] [--precision fp32] [--build build]

The network's weights are random, which costs what trained ones cost; the picture is a test pattern.
Prints the peak of the resident memory, that of LibTorch and all else included, and fails above --limit.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--limit", default=4.0, type=float, help="GiB")
    options = parser.parse_args()
    width, height = options.size.split("x")
    with tempfile.TemporaryDirectory() as folder:
        model, picture, out = (f"{folder}/{name}" for name in ("m.safetensors", "in.png", "out.png"))
        subprocess.run([options.build / "bench/paper_pictures", "write", model], check=True)
        subprocess.run(
            ["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=1", "pattern=zone-plate", "kx2=20", "ky2=20", "!",
             f"video/x-raw,format=RGB,width={width},height={height}", "!", "pngenc", "!", "filesink",
             f"location={picture}"], check=True)
        begin = time.monotonic()
        command = [options.build / "train/cpl", "restore", picture, out, "--model", model, "--precision", options.precision]
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        spent = time.monotonic() - begin
        if status != 0:
            return 1
    peak = usage.ru_maxrss / 2**20
    print(f"{options.size} {options.precision}: {spent:.0f} s, {usage.ru_utime + usage.ru_stime:.0f} s of CPU time, "
          f"at most {peak:.2f} GiB resident")
    return 0 if peak < options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
