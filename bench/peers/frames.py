# SPDX-License-Identifier: Apache-2.0
"""Whole frames, raw NV12 in: the element, what a user would pick instead, today's pipelines."""
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy

FEW, MORE = 8, 40   # frames of the two runs whose difference is what a frame takes


def clip(path, width, height, frames):
    """A fixed camera: a scene that stays, a block that moves, noise that is new in each frame."""
    rng = numpy.random.default_rng(1)
    yy, xx = numpy.mgrid[0:height, 0:width]
    scene = 40 + (xx // 8 + yy + (xx * yy >> 9)) % 120
    with open(path, "wb") as file:
        for t in range(frames):
            y = scene.copy()
            left = (width - 120) * t // frames
            y[height // 3:height // 3 + 120, left:left + 120] = 200
            y = numpy.clip(y + rng.normal(0, 12, y.shape), 0, 255).astype(numpy.uint8)
            chroma = numpy.clip(rng.normal(128, 4, (height // 2, width)), 0, 255)
            file.write(y.tobytes() + chroma.astype(numpy.uint8).tobytes())


def seconds(command):
    begin = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"peers: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def per_frame(command_for, few=FEW, more=MORE, rounds=5):
    """Milliseconds of a frame, start-up and end taken out: the median of a few differences.

    Not the best one: a short run that something held up makes its difference too small.
    """
    found = []
    for _ in range(rounds):
        short = seconds(command_for(few))
        found.append(1e3 * (seconds(command_for(more)) - short) / (more - few))
    return {"ms": statistics.median(found), "least": min(found), "most": max(found)}


def ffmpeg(path, width, height, threads, text):
    def command(frames):
        return ["ffmpeg", "-v", "error", "-nostdin", "-f", "rawvideo", "-pix_fmt", "nv12", "-s",
                f"{width}x{height}", "-i", path, "-frames:v", frames, "-filter_threads", threads,
                "-vf", text, "-f", "null", "-"]
    return command


def gstreamer(path, width, height, text):
    def command(frames):
        size = width * height * 3 // 2
        return ["gst-launch-1.0", "-q", "filesrc", f"location={path}", f"blocksize={size}",
                f"num-buffers={frames}", "!", "rawvideoparse", "format=nv12", f"width={width}",
                f"height={height}", "framerate=30/1", "!", *text.split(), "!", "fakesink",
                "sync=false"]
    return command


def measure(size, threads, model):
    width, height = size
    nv12 = "video/x-raw,format=NV12"
    ours = f"cplrestore model={model} bypass=off threads={threads}"
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "clip.nv12"
        clip(path, width, height, MORE)

        def row(name, how, command, **options):
            rows[name] = {"how": how.replace(str(model), pathlib.Path(model).name),
                          **per_frame(command, **options)}
            print(f"peers: {name}: {rows[name]['ms']:.1f} ms", flush=True)

        def gst(name, text):
            row(name, "GStreamer: " + text, gstreamer(path, width, height, text))

        def av(name, text, **options):
            row(name, "FFmpeg: " + text, ffmpeg(path, width, height, threads, text), **options)

        gst("reading only (GStreamer)", "identity")
        gst("cplrestore", ours)
        gst("cplrestore between conversions",
            f"videoconvert n-threads={threads} ! video/x-raw,format=RGB ! {ours} ! "
            f"videoconvert n-threads={threads} ! {nv12}")
        gst("the conversions alone",
            f"videoconvert n-threads={threads} ! video/x-raw,format=RGB ! "
            f"videoconvert n-threads={threads} ! {nv12}")
        gst("frei0r hqdn3d between conversions",
            f"videoconvert n-threads={threads} ! frei0r-filter-hqdn3d ! "
            f"videoconvert n-threads={threads} ! {nv12}")
        av("reading only (FFmpeg)", "null")
        av("hqdn3d", "format=yuv420p,hqdn3d")
        av("atadenoise", "format=yuv420p,atadenoise")
        av("nlmeans", "format=yuv420p,nlmeans", few=1, more=4, rounds=3)
        bgr = cv2.cvtColor(numpy.fromfile(path, numpy.uint8, width * height * 3 // 2).reshape(
            height * 3 // 2, width), cv2.COLOR_YUV2BGR_NV12)
        cv2.setNumThreads(threads)
        found = []
        for _ in range(3):
            begin = time.perf_counter()
            cv2.fastNlMeansDenoisingColored(bgr, None, 10, 10, 7, 21)
            found.append(1e3 * (time.perf_counter() - begin))
        rows["fastNlMeansDenoisingColored"] = {
            "how": "OpenCV, as it comes; conversions left out", "ms": statistics.median(found),
            "least": min(found), "most": max(found)}
    return {"size": f"{width}x{height}", "threads": threads, "rows": rows,
            "note": "milliseconds a frame: two runs of a process, difference over frames, median of "
                    "five (nlmeans: of three, OpenCV: of three calls); reading is in it"}


def versions():
    def first(command, pattern):
        text = subprocess.run(command, capture_output=True, text=True).stdout
        found = re.search(pattern, text)
        return found.group(1) if found else "unknown"

    return {"FFmpeg": first(["ffmpeg", "-version"], r"version (\S+)"),
            "GStreamer": first(["gst-launch-1.0", "--version"], r"version (\S+)"),
            "frei0r-plugins": first(["dpkg-query", "-W", "frei0r-plugins"], r"\t(\S+)"),
            "OpenCV": cv2.__version__}
