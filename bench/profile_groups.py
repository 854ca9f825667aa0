#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up `perf report --sort dso,symbol -F overhead,dso,symbol -t '|'`, from standard input, by what was being done."""
import re
import sys

# The first that fits counts: of the object's name, a blank and the function's.
GROUPS = [
    ("waiting for another thread", r"libgomp|libomp|futex|pthread_cond|sched_yield"),
    ("oneDNN: convolutions and products", r"JIT|jit_|dnnl|mkl|gemm"),
    ("copies into another layout", r"direct_copy|memmove|memcpy"),
    ("H.264", r"x264|avcodec|avc|openh264"),
    ("OpenCV and libjpeg", r"opencv|jpeg"),
    ("what weather and cameras do to pictures", r"degrade"),
    ("our operators in training", r"fused::|fused_ops|CombineBackward|BlendBackward"),
    ("the executor's convolutions", r"exec::.*(Conv|FillRuns)"),
    ("floats to bytes", r"Quantise"),
    ("the memory: motion, blend, combine", r"Motion|Blend|Combine|Keep|Features"),
    ("pixels in and out", r"(Read|Write)(Avx|Baseline|Pixels|Cells|Row)"),
    ("other operators of LibTorch", r"libtorch|libc10"),
    ("the kernel: fresh memory above all", r"\[k\]|kernel"),
]


def main():
    sums = {}
    for line in sys.stdin:
        share, _, rest = line.strip().partition("|")
        try:
            share = float(share.strip().rstrip("%"))
        except ValueError:
            continue
        group = next((name for name, pattern in GROUPS if re.search(pattern, rest)), "the rest")
        sums[group] = sums.get(group, 0) + share
    for group, share in sorted(sums.items(), key=lambda entry: -entry[1]):
        if share >= 0.5:
            print(f"  {share:5.1f} %  {group}")


if __name__ == "__main__":
    main()
