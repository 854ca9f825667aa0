# SPDX-License-Identifier: Apache-2.0
"""What a user would pick instead, each at the setting of a small grid that is best for the
degradation at hand, chosen on the test data itself, which favours them."""
import itertools
import json
import pathlib
import subprocess
import tempfile

import cv2
import numpy

from media import luma, names, psnr, read_clip, run, say, write_frames


def reflect(i, count):
    """Frames beyond an end of a clip are those before it, mirrored."""
    i = abs(i)
    return i if i < count else 2 * (count - 1) - i


class Ffmpeg:
    """A video filter, on frames in a folder. Colours are not subsampled on the way."""

    def __init__(self, filter_text, grid, look_ahead, every_frame):
        self.text, self.grid = filter_text, grid
        self.look_ahead = look_ahead
        self.every_frame = every_frame  # whether frames before the measured one matter

    def apply(self, frames, wanted, setting):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            used = frames if self.every_frame else [frames[i] for i in wanted]
            write_frames(folder / "in", used)
            (folder / "out").mkdir()
            run(["ffmpeg", "-v", "error", "-start_number", "0", "-i", folder / "in" / "%04d.png",
                 "-vf", "format=yuv444p," + self.text.format(**setting), "-start_number", "0",
                 "-pix_fmt", "rgb24", folder / "out" / "%04d.png"])
            done = read_clip(folder / "out")
        return [done[i] for i in wanted] if self.every_frame else list(done)


class FastNlMeansMulti:
    """OpenCV's fastNlMeansDenoisingColoredMulti over three frames."""

    look_ahead = 1
    grid = dict(h=[4, 8, 14, 20])

    def apply(self, frames, wanted, setting):
        done = []
        for t in wanted:
            three = [frames[reflect(i, len(frames))] for i in (t - 1, t, t + 1)]
            done.append(cv2.fastNlMeansDenoisingColoredMulti(
                three, 1, 3, None, setting["h"], setting["h"], 7, 15))
        return done


class Median5:
    look_ahead = 2
    grid = dict(frames=[5])

    def apply(self, frames, wanted, setting):
        done = []
        for t in wanted:
            first = max(0, min(t - 2, len(frames) - 5))
            done.append(numpy.median(frames[first:first + 5], axis=0).astype(numpy.uint8))
        return done


def box(image, radius):
    return cv2.blur(image, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)


def guided(guide, image, radius, eps):
    """He et al.'s guided filter with a grey guide."""
    mean_i, mean_p = box(guide, radius), box(image, radius)
    a = (box(guide * image, radius) - mean_i * mean_p) / (
        box(guide * guide, radius) - mean_i**2 + eps)
    return box(a, radius) * guide + box(mean_p - a * mean_i, radius)


class DarkChannel:
    """He, Sun and Tang's dark-channel prior, the transmission refined by a guided filter."""

    look_ahead = 0
    grid = dict(omega=[0.6, 0.75, 0.85, 0.95], patch=[7, 15])

    def apply(self, frames, wanted, setting):
        return [self.one(frames[t], **setting) for t in wanted]

    @staticmethod
    def one(frame, omega, patch):
        x = frame.astype(numpy.float32) / 255
        kernel = numpy.ones((patch, patch), numpy.uint8)
        dark = cv2.erode(x.min(axis=2), kernel)
        brightest = dark.ravel().argsort()[-max(1, dark.size // 1000):]
        air = x.reshape(-1, 3)[brightest].mean(axis=0)
        t = 1 - omega * cv2.erode((x / air).min(axis=2), kernel)
        grey = cv2.cvtColor(x, cv2.COLOR_BGR2GRAY)
        t = numpy.clip(guided(grey, t, 40, 1e-3), 0.1, 1)[..., None]
        return (numpy.clip((x - air) / t + air, 0, 1) * 255).round().astype(numpy.uint8)


PEERS = {
    "hqdn3d": Ffmpeg("hqdn3d={s}:{s}:{t}:{t}", dict(s=[0, 3, 6, 12], t=[6, 15, 30, 60]), 0, True),
    "nlmeans": Ffmpeg("nlmeans=s={s}:p=7:r={r}", dict(s=[4, 8, 14, 20], r=[9, 15]), 0, False),
    "atadenoise": Ffmpeg("atadenoise=0a={a}:0b={b}:1a={a}:1b={b}:2a={a}:2b={b}:s={s}",
                         dict(a=[0.02, 0.1, 0.3], b=[0.1, 1, 5], s=[5, 9]), 4, True),
    "fastNlMeansMulti": FastNlMeansMulti(),
    "median5": Median5(),
}
DEHAZERS = {"dark channel": DarkChannel()}


def settings(grid):
    keys = list(grid)
    return [dict(zip(keys, values)) for values in itertools.product(*grid.values())]


def difference(picture, target):
    return psnr(luma(picture.astype(numpy.float32)) - luma(target.astype(numpy.float32)))


def crop(frames, size=256):
    top, left = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    return frames[:, top:top + size, left:left + size]


def best_setting(peer, frames, target, wanted):
    """By PSNR of luma, mean over the wanted frames, on a part of the picture."""
    frames, target = crop(frames), crop(target)
    scored = []
    for setting in settings(peer.grid):
        done = peer.apply(frames, wanted, setting)
        scores = [difference(d, target[t]) for d, t in zip(done, wanted)]
        scored.append((numpy.mean(scores), setting))
    return max(scored, key=lambda pair: pair[0])[1]


def restore_clips(root, out, full):
    """Peers on the small clips ROOT/KIND/CLIP: OUT/PEER/KIND/CLIP/*.png. Returns the settings."""
    chosen = {}
    for kind in sorted(p.name for p in root.iterdir() if p.name != "clean"):
        clips = sorted((root / kind).iterdir())
        for name, peer in PEERS.items():
            note = out / name / f"{kind}.json"
            if not note.exists():
                say(f"{name} on {root.name}/{kind}")
                setting = None
                for clip in clips:
                    frames, target = read_clip(clip / "input"), read_clip(clip / "target")
                    count = len(frames)
                    if setting is None:
                        setting = best_setting(peer, frames, target, [count - 1])
                    wanted = list(range(count)) if full else [0, count - 1]
                    folder = out / name / kind / clip.name
                    folder.mkdir(parents=True, exist_ok=True)
                    for t, picture in zip(wanted, peer.apply(frames, wanted, setting)):
                        cv2.imwrite(str(folder / f"{t:04d}.png"), picture)
                note.write_text(json.dumps(setting))
            chosen.setdefault(name, {})[kind] = json.loads(note.read_text())
    return chosen


def restore_haze(root, out):
    """Dehazers on the single pictures ROOT/haze: OUT/PEER/haze/*.png. Returns the settings."""
    chosen = {}
    for name, peer in DEHAZERS.items():
        note = out / name / "haze.json"
        if not note.exists():
            say(f"{name} on {root.name}/haze")
            paths = names(root / "haze" / "input")
            pairs = [(cv2.imread(str(p)), cv2.imread(str(root / "haze" / "target" / p.name)))
                     for p in paths]
            setting = max(settings(peer.grid), key=lambda s: numpy.mean(
                [difference(peer.apply([x], [0], s)[0], y) for x, y in pairs[:4]]))
            folder = out / name / "haze"
            folder.mkdir(parents=True, exist_ok=True)
            for path, (picture, _) in zip(paths, pairs):
                cv2.imwrite(str(folder / path.name), peer.apply([picture], [0], setting)[0])
            note.write_text(json.dumps(setting))
        chosen[name] = {"haze": json.loads(note.read_text())}
    return chosen


def versions():
    text = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout
    return {"ffmpeg": text.split()[2], "opencv": cv2.__version__, "numpy": numpy.__version__}
