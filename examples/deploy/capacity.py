#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many cameras a node holds, and how many nodes a number of cameras needs.

  cpl bench --json bench.json && examples/deploy/capacity.py bench.json --cameras 10000 --fps 15

A frame costs CPU time for restoring it (measured by `cpl bench`, all streams at once, the element and
its queueing included) and for decoding and encoding (--codec-ms, which a node measures with
examples/deploy/codec_ms.sh). Frames that the model finds clear cost a look, not a restoration.
"""
import argparse
import json
import math
import pathlib
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=pathlib.Path, help="JSON of `cpl bench --json`")
    parser.add_argument("--size", default="1280x720@30", help="one of the file's streams")
    parser.add_argument("--fps", type=float, default=15, help="of a camera")
    parser.add_argument("--cameras", type=int, default=10000)
    parser.add_argument("--clear", type=float, default=0, help="share of frames that pass as clear")
    parser.add_argument("--look-ms", type=float, default=1, help="CPU time of a frame that passes")
    parser.add_argument("--codec-ms", type=float, default=0, help="CPU time to decode and encode a frame")
    parser.add_argument("--headroom", type=float, default=0.7, help="share of the CPUs to fill")
    options = parser.parse_args()
    try:
        bench = json.loads(options.bench.read_text(encoding="utf-8"))
        bench = bench.get("bench", bench)  # bench/results/peers.json holds one
        together, cpus = float(bench["streams_fps"][options.size]), int(bench["threads"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"capacity: {options.bench}: no frames/s of {options.size} streams in it ({error!r})")
    if not (0 <= options.clear <= 1 and 0 < options.headroom <= 1 and together > 0 and options.fps > 0):
        sys.exit("capacity: --clear lies in 0..1, --headroom above 0 and up to 1, --fps above 0")
    restore_ms = 1000 * cpus / together
    frame_ms = (1 - options.clear) * restore_ms + options.clear * options.look_ms + options.codec_ms
    cameras = math.floor(1000 * cpus * options.headroom / (frame_ms * options.fps))
    print(f"restoring {options.size.split('@')[0]}: {together:.1f} frames/s on {cpus} CPUs, "
          f"{restore_ms:.1f} CPU ms a frame")
    print(f"a frame in all: (1 - {options.clear:g}) * {restore_ms:.1f} + {options.clear:g} * "
          f"{options.look_ms:g} + {options.codec_ms:g} = {frame_ms:.1f} CPU ms")
    print(f"a node: {cpus} CPUs * 1000 ms * {options.headroom:g} / ({frame_ms:.1f} ms * "
          f"{options.fps:g} frames/s) = {cameras} cameras")
    if cameras == 0:
        print("one camera does not fit: fewer frames/s, a smaller size, more CPUs, or a GPU")
    else:
        print(f"{options.cameras} cameras: {math.ceil(options.cameras / cameras)} such nodes")


main()
