# SPDX-License-Identifier: Apache-2.0
"""Frames in folders: reading, luma, and the clips that are tested on."""
import pathlib
import subprocess
import sys

import cv2
import numpy

# What a clip is for, which frames of it are used, and what its camera and licence are. A clip that
# part of was trained on is used from behind that part on.
CLIPS = {
    "traffic": dict(file="clean-traffic.avi", first=0, frames=200, full=600, fps=25),
    "street": dict(file="clean-street-768x432.mp4", first=189, frames=96, full=188, fps=12.5),
    "vtest": dict(file="vtest.avi", first=0, frames=64, full=200, fps=10),
}
KINDS = ["noise", "rain", "snow", "haze", "rain,noise"]
REAL = {
    "rain-yard": dict(file="rain-yard.mp4", first=60),
    "fog-road": dict(file="fog-road-720x1280.mp4", first=20),
    "snow-forest": dict(file="snow-forest-1280x720.mp4", first=60),
}
REAL_FRAMES = 40


def say(text):
    print(f"quality: {text}", flush=True)


def run(command):
    """Runs a command; its output is shown only when it fails, which ends the program."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"quality: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def luma(bgr):
    """BT.601 luma of limited range, as cpl eval has it; float32."""
    return bgr @ numpy.array([24.966, 128.553, 65.481], numpy.float32) / 255 + 16


def names(folder):
    return sorted(pathlib.Path(folder).glob("*.png"))


def read_clip(folder):
    """All frames of a folder: uint8 [n, height, width, 3], B G R."""
    return numpy.stack([cv2.imread(str(path)) for path in names(folder)])


def luma_clip(frames):
    return numpy.stack([luma(frame.astype(numpy.float32)) for frame in frames])


def psnr(error):
    """In dB, of an array of differences in 8-bit levels; None of nothing."""
    if error.size == 0:
        return None
    mse = float(numpy.mean(numpy.square(error, dtype=numpy.float64)))
    return None if mse == 0 else 10 * numpy.log10(255**2 / mse)


def write_frames(folder, frames):
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{i:04d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def extract(video, first, count, folder):
    """Frames of a video as PNG; nothing is done if they are there already."""
    if len(names(folder)) == count:
        return
    reader = cv2.VideoCapture(str(video))
    if not reader.isOpened():
        sys.exit(f"quality: {video}: cannot be read; README.md says what must lie there")
    frames = []
    # Counted, not sought: seeking is not exact in every container.
    for index in range(first + count):
        ok, frame = reader.read()
        if not ok:
            sys.exit(f"quality: {video}: ends at frame {index}, {first + count} are needed")
        if index >= first:
            frames.append(frame)
    write_frames(folder, frames)


def link(target, name):
    name.parent.mkdir(parents=True, exist_ok=True)
    if not name.is_symlink():
        name.symlink_to(target.resolve())


class Sets:
    """The test clips under OUT/sets, in the layout of `cpl eval --clips`: level50/KIND/CLIP/input."""

    def __init__(self, data, out, cpl, full):
        self.root = out / ("sets-full" if full else "sets")
        self.cpl = cpl
        self.frames = {name: clip["full" if full else "frames"] for name, clip in CLIPS.items()}
        # For the share of frames that pass: fewer, but at several levels.
        self.pass_frames = {name: 100 if full else 30 for name in CLIPS}
        self.levels = [25, 50, 75]
        for name, clip in CLIPS.items():
            extract(data / "clips" / clip["file"], clip["first"], self.frames[name],
                    self.clean(name))
            for part in ("input", "target"):
                link(self.clean(name), self.root / "clean" / "clean" / name / part)
        for kind in KINDS:
            for name in CLIPS:
                if kind == "rain,noise" and name == "vtest":
                    continue
                self.degrade(self.clean(name), self.root / "level50", kind, name, 0.5)
                for level in self.levels:
                    some = self.root / "some" / name
                    extract(data / "clips" / CLIPS[name]["file"], CLIPS[name]["first"],
                            self.pass_frames[name], some)
                    self.degrade(some, self.root / f"pass{level}", kind, name, level / 100)

    def clean(self, name):
        return self.root / "frames" / name

    def degrade(self, frames, place, kind, name, level):
        folder = place / kind / name
        if len(names(folder / "input")) != len(names(frames)):
            seed = 1 + KINDS.index(kind) + 10 * list(CLIPS).index(name)
            run([self.cpl, "degrade", frames, folder / "input", "--kind", kind, "--level", level,
                 "--seed", seed, "--clip"])
        link(frames, folder / "target")

    def cases(self):
        """Kind and clip of every test clip at level 0.5."""
        return [(kind, name) for kind in KINDS for name in CLIPS
                if (self.root / "level50" / kind / name).exists()]
