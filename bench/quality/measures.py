# SPDX-License-Identifier: Apache-2.0
"""What an operator would notice: flicker, ghosts, false motion, people found. On clips of frames."""
import cv2
import numpy

from media import luma_clip, psnr

SETTLED = 8       # frames after which a fixed camera's memory is in use
MOVED = 15        # levels of luma by which a mover differs from the empty scene
QUIET = 2.5       # levels that a still pixel of a clean clip varies by, at most
TRAIL = 8         # frames for which a ghost would stay behind


class Scene:
    """A clean clip: what moves in it, what stands still."""

    def __init__(self, frames):
        self.luma = luma_clip(frames)
        empty = numpy.median(self.luma, axis=0)
        # A camera's exposure follows what drives past: the picture's own shift is no motion.
        changes = [y - empty - numpy.median(y - empty) for y in self.luma]
        kernel = numpy.ones((3, 3), numpy.uint8)
        self.moving = []
        for change in changes:
            mask = (numpy.abs(change) > MOVED).astype(numpy.uint8)
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
            self.moving.append(cv2.dilate(mask, kernel, iterations=2) > 0)
        self.moving = numpy.stack(self.moving)
        self.trail = numpy.zeros_like(self.moving)
        for t in range(1, len(frames)):
            past = self.moving[max(0, t - TRAIL):t].any(axis=0)
            self.trail[t] = past & ~self.moving[t]
        quiet = numpy.std(changes[SETTLED:], axis=0) < QUIET
        self.still = ~self.moving.any(axis=0) & quiet

    def flicker(self, y):
        """Temporal standard deviation of the error on pixels that stand still, once settled."""
        error = (y - self.luma)[SETTLED:]
        return float(error.std(axis=0)[self.still].mean())

    def moving_psnr(self, y):
        return psnr((y - self.luma)[SETTLED:][self.moving[SETTLED:]])

    def trail_psnr(self, y):
        return psnr((y - self.luma)[SETTLED:][self.trail[SETTLED:]])


def motion_boxes(frames):
    """Boxes of motion in each frame as simple recorders find them: grey, a light blur, the distance
    from a running average, a threshold, contours. Boxes are x0, y0, x1, y1."""
    width = 320
    scale = width / frames.shape[2]
    height = round(frames.shape[1] * scale)
    average, found = None, []
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
        grey = cv2.GaussianBlur(grey, (3, 3), 0).astype(numpy.float32)
        if average is None:
            average = grey.copy()
        mask = (numpy.abs(grey - average) > 20).astype(numpy.uint8)
        cv2.accumulateWeighted(grey, average, 0.05)
        mask = cv2.dilate(mask, None, iterations=2)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(c) for c in contours if cv2.contourArea(c) >= 80]
        found.append([(x, y, x + w, y + h) for x, y, w, h in boxes])
    return found


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a, b):
    shared = overlap(a, b)
    return shared / (area(a) + area(b) - shared)


LEARN = 25  # frames in which the running average learns the scene


class Motion:
    """Boxes of a clip against those of its clean original."""

    def __init__(self, clean_frames, fps):
        self.fps = fps
        self.clean = motion_boxes(clean_frames)
        # A true mover is in three frames running.
        self.movers = []
        for t, boxes in enumerate(self.clean):
            around = [self.clean[i] if 0 <= i < len(self.clean) else [] for i in (t - 1, t + 1)]
            self.movers.append([b for b in boxes
                                if all(any(iou(b, o) > 0.3 for o in other) for other in around)])

    def score(self, frames):
        total = false = kept = movers = 0
        found = motion_boxes(frames)
        for t in range(LEARN, len(found)):
            total += len(found[t])
            false += sum(all(overlap(b, c) < 0.3 * area(b) for c in self.clean[t])
                         for b in found[t])
            movers += len(self.movers[t])
            kept += sum(any(overlap(b, m) >= 0.5 * area(m) for b in found[t])
                        for m in self.movers[t])
        minutes = (len(found) - LEARN) / self.fps / 60
        return {"boxes_per_minute": total / minutes, "false_per_minute": false / minutes,
                "movers": movers, "recall": kept / movers if movers else None}


def people(frames, step=4):
    """OpenCV's people detector, as it comes, on every step-th frame."""
    detector = cv2.HOGDescriptor()
    detector.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    found = []
    for frame in frames[::step]:
        boxes, weights = detector.detectMultiScale(frame, winStride=(8, 8), padding=(8, 8),
                                                   scale=1.05)
        found.append([(x, y, x + w, y + h) for (x, y, w, h), weight
                      in zip(boxes, numpy.ravel(weights)) if weight > 0.5])
    return found


def people_score(found, reference):
    """Detections that the clean clip has too, and those that it has not."""
    total = sum(len(boxes) for boxes in reference)
    hits = sum(any(iou(b, r) >= 0.5 for b in boxes)
               for boxes, others in zip(found, reference) for r in others)
    extra = sum(all(iou(b, r) < 0.5 for r in others)
                for boxes, others in zip(found, reference) for b in boxes)
    return {"in_clean": total, "found": hits, "recall": hits / total if total else None,
            "extra": extra}
