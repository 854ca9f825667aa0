#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast does `cpl train` train beside PyTorch, as training code is usually written?

    bench/trainer_twin.py --clean DIR [--build build] [--threads 2] [--seconds 20] [--rounds 2]

Trains the first stage of weights/live.toml in both, in turn, on a folder of photos, without H.264: the same network from
the same weights, batches of the same make-up and patch, the same loss, clipping, AdamW (fused) and moving average. The
twin's samples come from DataLoader worker processes, made with OpenCV and NumPy: crops at a random scale, light, flips,
then noise, rain, snow or haze of the same kinds and the same spread of parameters, and JPEG where ours has it. It is
channels-last, in bfloat16 where the processor multiplies that natively, and may choose the best of several numbers of
threads and workers. Needs an interpreter with torch, numpy and cv2 (bench/peers/run.sh sets one up). Nothing else should
run meanwhile.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time

import cv2
import numpy as np
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPTS = ["clean", "noise", "rain", "snow", "haze"]
BATCH = {"clean": 2, "noise": 8, "rain": 8, "snow": 8, "haze": 8}
PATCH = 128
CELL, SIDE, FIELD_LEVEL, ROUTER_PATCH, LOGIT_GAIN = 12, 16, 2, 32, 4.0
PER_MILLE = (2, 10, 50, 250, 500, 750, 950, 990)


# --- samples: uint8 pictures [PATCH, PATCH, 3], degraded and clean ---

def crop(rng, picture):
    scale = 1.0 if rng.random() < 0.25 else rng.uniform(0.5, 1)
    if rng.random() < 0.3:
        scale = math.exp(rng.uniform(0, math.log(3)))
    height, width = picture.shape[:2]
    side = min(round(PATCH / scale), height, width)
    y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    part = picture[y:y + side, x:x + side]
    if side != PATCH:
        part = cv2.resize(part, (PATCH, PATCH), interpolation=cv2.INTER_AREA if side > PATCH else cv2.INTER_CUBIC)
    if rng.random() < 0.74:
        night = rng.random() < 0.16
        gamma = rng.uniform(1.2, 2.2) if night else rng.uniform(0.75, 1.33)
        contrast = rng.uniform(0.2, 0.7) if night else rng.uniform(0.8, 1.15)
        level = contrast * ((np.arange(256) / 255) ** gamma - 0.5) + 0.5 + rng.uniform(-0.06, 0.06)
        gain = rng.uniform(0.95, 1.05, (1, 1, 3))
        part = cv2.LUT(part, np.clip(255 * level[None, :, None] * gain + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        part = part.transpose(1, 0, 2)
    return np.ascontiguousarray(part[::rng.choice([-1, 1]), ::rng.choice([-1, 1])])


def add_noise(rng, x, level):
    sigma = (3 + 57 * level ** 1.25) / 255
    noise = rng.standard_normal(x.shape, dtype=np.float32)
    if rng.random() < 0.2:
        noise = noise * 0.7 + 0.7 * rng.standard_normal(x.shape[:2] + (1,), dtype=np.float32)
    if rng.random() < 0.25:
        noise = cv2.GaussianBlur(noise, (3, 3), 0.7) * 1.8
    if rng.random() < 0.35:
        return x + noise * np.sqrt(0.5 * sigma * sigma * (1 + 2 * x))
    return x + noise * np.float32(sigma)


def add_rain(rng, x, level):
    """Points, smeared along a line: a layer for each distance."""
    angle, mask = np.clip(0.28 * rng.standard_normal(), -1.1, 1.1), np.zeros(x.shape[:2], np.float32)
    for _ in range(rng.integers(1, 5)):
        length = int(rng.uniform(4, 25))
        points = (rng.random(x.shape[:2], dtype=np.float32) < 0.36 * level / length / 2).astype(np.float32)
        kernel = np.zeros((length | 1, length | 1), np.float32)
        middle = (length | 1) // 2
        dx, dy = round(middle * math.sin(angle)), round(middle * math.cos(angle))
        cv2.line(kernel, (middle - dx, middle - dy), (middle + dx, middle + dy), 1.0, 1)
        mask += cv2.filter2D(points, -1, cv2.GaussianBlur(kernel, (3, 3), 0.6)) * np.float32(rng.uniform(0.3, 0.85))
    mask = np.minimum(mask, 1)[:, :, None]
    veil = np.float32(1 - rng.uniform(0, 0.2) * level)
    colour = rng.uniform(0.75, 1, 3).astype(np.float32)
    keep = np.float32(rng.choice([0.0, 1.0]))
    return x * (veil - keep * veil * mask) + colour * veil * mask + (1 - veil) * np.float32(0.7)


def add_snow(rng, x, level):
    """Points, spread out: a layer for each distance."""
    cover = np.zeros(x.shape[:2], np.float32)
    for radius, density in ((0.9, 4.5), (1.9, 1.6), (4.2, 0.35)):
        points = (rng.random(x.shape[:2], dtype=np.float32) < 3.6 * level * density / 1000).astype(np.float32)
        layer = cv2.GaussianBlur(points, (0, 0), radius * 0.6) * np.float32(2.3 * radius * radius)
        layer = np.minimum(layer, 1) * np.float32(rng.uniform(0.6, 1))
        cover += layer - cover * layer
    cover = cover[:, :, None]
    veil = np.float32(1 - rng.uniform(0, 0.2) * level)
    colour = rng.uniform(0.75, 1, 3).astype(np.float32)
    return x * (veil - veil * cover) + colour * veil * cover + (1 - veil) * np.float32(0.7)


def add_haze(rng, x, level):
    depth = np.linspace(1, 0.1, PATCH, dtype=np.float32)[:, None] * np.float32(rng.uniform(0.3, 1))
    plasma = np.zeros((PATCH, PATCH), np.float32)
    for octave in range(3):
        cells = rng.random((2 + 2 ** octave, 2 + 2 ** octave), dtype=np.float32) - 0.5
        plasma += cv2.resize(cells, (PATCH, PATCH), interpolation=cv2.INTER_CUBIC) / 2 ** octave
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)
    mean, square = cv2.blur(grey, (17, 17)), cv2.blur(grey * grey, (17, 17))  # a guided filter by itself
    a = (square - mean * mean) / (square - mean * mean + 1e-3)
    guided = cv2.blur(a, (17, 17)) * grey + cv2.blur(mean - a * mean, (17, 17))
    depth = np.maximum(depth + np.float32(0.45) * plasma + np.float32(0.3) * guided, 0)
    t = np.exp(np.float32(-(0.3 + 2.2 * level)) * depth)[:, :, None]
    return x * t + rng.uniform(0.55, 1, 3).astype(np.float32) * (1 - t)


ADD = {"noise": add_noise, "rain": add_rain, "snow": add_snow, "haze": add_haze}


def jpeg(picture, quality):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1], cv2.IMREAD_COLOR)


class Samples(torch.utils.data.Dataset):
    """A whole batch is one item: [input, target], so that workers collate it and hand it over once."""

    def __init__(self, folder):
        self.pictures = [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                         for picture in (cv2.imread(str(path)) for path in sorted(folder.iterdir()))
                         if picture is not None]

    def __len__(self):
        return 1 << 30

    def __getitem__(self, step):
        rng = np.random.default_rng(step)
        both = np.empty((2, sum(BATCH.values()), PATCH, PATCH, 3), np.uint8)
        index = 0
        for prompt, count in BATCH.items():
            for _ in range(count):
                clean = crop(rng, self.pictures[rng.integers(len(self.pictures))])
                if prompt == "clean":
                    if rng.random() < 0.5:
                        clean = jpeg(clean, rng.integers(35, 96))
                    both[:, index] = clean
                else:
                    x = ADD[prompt](rng, clean.astype(np.float32) / 255, rng.random())
                    if rng.random() < 0.25:
                        x = ADD[str(rng.choice(list(ADD)))](rng, x.astype(np.float32), rng.uniform(0.05, 0.35))
                    degraded = (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
                    both[0, index] = jpeg(degraded, rng.integers(25, 91)) if rng.random() < 0.15 else degraded
                    both[1, index] = clean
                index += 1
        return torch.from_numpy(both)


# --- the network, with its prompts (model/live_net.cc, model/recurrence.cc; single frames) ---

class Live(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + length])
        meta = header.pop("__metadata__")
        self.config = json.loads(meta["config"])
        if json.loads(meta["prompts"]) != PROMPTS:
            raise SystemExit("twin: the model has other prompts")
        self.tensors = torch.nn.ParameterDict()
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            array = np.frombuffer(data[8 + length + begin:8 + length + end], np.float32).reshape(entry["shape"])
            self.tensors[name.replace(".", "/")] = torch.nn.Parameter(torch.from_numpy(array.copy()))

    def get(self, name):
        return self.tensors[name.replace(".", "/")]

    def has(self, name):
        return name.replace(".", "/") in self.tensors

    def conv(self, name, x, prompt, cond, stride=1):
        weight, bias = self.get(name + ".weight"), self.get(name + ".bias")
        if self.has(name + ".prompt_weight"):
            weight = weight + self.get(name + ".prompt_weight")[prompt]
        if self.has(name + ".prompt_in"):
            into, out = 1 + self.get(name + ".prompt_in")[prompt], 1 + self.get(name + ".prompt_out")[prompt]
            weight = weight * out.view(-1, 1, 1, 1) * into.view(1, -1, 1, 1)
            bias = bias * out + self.get(name + ".prompt_shift")[prompt]
        weight = weight.contiguous(memory_format=torch.channels_last)
        y = F.conv2d(x, weight, bias, stride, 1 if weight.shape[2] == 3 else 0)
        if self.has(name + ".cond"):
            y = y + F.linear(cond, self.get(name + ".cond"))[:, :, None, None]
        return y

    def pairs(self, stem, level, count, x, prompt, cond):
        for i in range(count):
            name = f"{stem}{level}.{i}.conv"
            x = self.conv(name + "2", F.relu(self.conv(name + "1", x, prompt, cond)), prompt, cond) + x
        return x

    def head(self, name, patches, per_frame, votes):
        y = patches
        for i in (1, 2, 3):
            weight = self.get(f"{name}.conv{i}.weight")
            y = F.relu(F.conv2d(y, weight, self.get(f"{name}.conv{i}.bias"), 2, 1 if weight.shape[2] == 3 else 0))
        y = torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)
        mean = lambda v: v.view(-1, per_frame, v.shape[1]).mean(1)
        y = y if votes else mean(y)
        y = F.relu(F.linear(y, self.get(name + ".hidden.weight"), self.get(name + ".hidden.bias")))
        y = F.linear(y, self.get(name + ".output.weight"), self.get(name + ".output.bias"))
        return mean(y) if votes else y

    def tone(self, x):
        """Quantiles of the cells' levels, by colour and of the least (model/tone.h)."""
        means = x.reshape(x.shape[0], 3, 4, -1).mean(2)
        levels = torch.cat([means, means.amin(1, keepdim=True)], 1).div(4).add(0.5).mul(255).round().clamp(0, 255)
        levels, count = levels.sort(2).values, means.shape[2]
        return ((levels[:, :, [count * p // 1000 for p in PER_MILLE]] / 255 - 0.5) * 4).flatten(1)

    def tone_shift(self, x):
        layer = lambda v, name: F.linear(v, self.get(f"conditioner.tone.{name}.weight"), self.get(f"conditioner.tone.{name}.bias"))
        return layer(F.relu(layer(self.tone(x), "hidden")), "output")

    def forward(self, x, prompt):
        """x [B, 12, h, w] of one prompt: router's logits, and the restored cells."""
        config, across = self.config, x.shape[2] // ROUTER_PATCH
        patches = x.reshape(x.shape[0], CELL, across, ROUTER_PATCH, across, ROUTER_PATCH)
        patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(-1, CELL, ROUTER_PATCH, ROUTER_PATCH)
        logits = self.head("router", patches, across * across, config.get("router_pooling") == "logits")
        cond = self.head("conditioner", patches, across * across, False)
        if config.get("tone"):
            cond = cond + self.tone_shift(x)
        side = x.new_zeros(x.shape[0], SIDE, *x.shape[2:]).contiguous(memory_format=torch.channels_last)
        side[:, CELL + 1] = 1
        last, skips = len(config["channels"]) - 1, []
        y = self.conv("stem", x, prompt, cond) + self.conv("stem_state", side, prompt, cond)
        for level in range(last + 1):
            if level > 0:
                y = self.conv(f"down{level}", y, prompt, cond, 2)
            y = self.pairs("encoder", level, config["encoder"][level], y, prompt, cond)
            skips.append(y)
        field = None
        for level in range(last - 1, -1, -1):
            y = F.pixel_shuffle(self.conv(f"up{level}", y, prompt, cond), 2) + skips[level]
            y = self.pairs("decoder", level, config["decoder"][level], y, prompt, cond)
            if level == FIELD_LEVEL:
                field = self.conv("field", y, prompt, cond)
        y = F.relu(self.conv("head", y, prompt, cond))
        residual = self.conv("output", y, prompt, cond)[:, :CELL].float()
        gain = F.interpolate(field.float(), size=x.shape[2:], mode="bilinear", align_corners=False)
        return logits.float(), x + residual + gain.repeat_interleave(4, 1) * x


def cells(pictures):
    x = pictures.permute(0, 3, 1, 2).float().mul(4 / 255).sub(2)
    return F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)


def step(model, optimizer, average, both, bf16):
    """One step; the mean PSNR of noise before and after."""
    x, target = cells(both[0]), cells(both[1])
    begin, total, psnr = 0, sum(BATCH.values()), None
    loss = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for prompt, count in BATCH.items():
            part, want = x[begin:begin + count], target[begin:begin + count]
            logits, picture = model(part, PROMPTS.index(prompt))
            error = (picture - want).square().mean((1, 2, 3)) / 16
            labels = torch.full((count,), PROMPTS.index(prompt))
            loss = loss + (0.1 * F.cross_entropy(logits, labels) + (error + 2e-5).log().mean()) * (count / total)
            if prompt == "noise":
                before = (part - want).square().mean((1, 2, 3)) / 16
                psnr = [-10 * value.detach().log10().mean().item() for value in (before, error)]
            begin += count
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.2)
    optimizer.step()
    optimizer.zero_grad()
    torch._foreach_lerp_(average, [p.detach() for p in model.parameters()], 0.001)
    return psnr


def has_bf16():
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def twin(args, threads, workers):
    """Samples a second, and the share of the time that was spent on waiting for them."""
    torch.set_num_threads(threads)
    model = Live(ROOT / "weights/live.safetensors")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0, fused=True)
    average = [p.detach().clone() for p in model.parameters()]
    loader = iter(torch.utils.data.DataLoader(Samples(args.clean), batch_size=None, shuffle=False, num_workers=workers,
                                              prefetch_factor=4))
    bf16 = has_bf16()
    for warm in range(3):
        before, after = step(model, optimizer, average, next(loader), bf16)
        if warm == 0 and after < before + 3:
            raise SystemExit(f"twin: takes noise of {before:.1f} dB to {after:.1f}: not the network it is to be")
    steps, waited, start = 0, 0.0, time.monotonic()
    while time.monotonic() - start < args.seconds:
        asked = time.monotonic()
        both = next(loader)
        waited += time.monotonic() - asked
        step(model, optimizer, average, both, bf16)
        steps += 1
    seconds = time.monotonic() - start
    return steps * sum(BATCH.values()) / seconds, waited / seconds


def ours(args, steps):
    """The same of `cpl train`, over all but the first of its log lines."""
    with tempfile.TemporaryDirectory() as folder:
        # Without the sections of its data, and with the first stage alone.
        text = (ROOT / "weights/live.toml").read_text().split("\n[[stage]]")
        recipe = pathlib.Path(folder) / "recipe.toml"
        recipe.write_text("\n[[stage]]".join(text[:2]) + "\n")
        sets = [f"data.clean=['{args.clean.resolve()}']", "data.h264_share=0", f"run.output={folder}/run",
                f"run.threads={args.threads}", f"run.log_every={max(1, steps // 4)}", f"stage.single.steps={steps}"]
        command = [str(args.build / "train/cpl"), "train", str(recipe)]
        for assignment in sets:
            command += ["--set", assignment]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(result.stderr)
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "run/log.jsonl").read_text().splitlines()]
        lines = [line for line in lines if "loss" in line][1:]
        return tuple(statistics.mean(line[key] for line in lines) for key in ("samples_per_second", "data_share"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=pathlib.Path, required=True, help="folder of clean photos")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=20, help="for each figure of the twin")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    cv2.setNumThreads(0)
    print(f"torch {torch.__version__}, {args.threads} threads, {'bf16' if has_bf16() else 'fp32'}; batch "
          f"{sum(BATCH.values())} of {PATCH}x{PATCH}", flush=True)
    choices = sorted({(args.threads, 1), (args.threads, args.threads), (max(1, args.threads - 1), 1)})
    rates = {choice: [] for choice in choices}
    cpl = []
    steps = 40
    for _ in range(args.rounds):
        rate, share = ours(args, steps)
        steps = max(40, int(rate * args.seconds / sum(BATCH.values())))
        cpl.append(rate)
        print(f"cpl train                     {rate:6.1f} samples/s, {100 * share:.1f} % waiting for data", flush=True)
        for threads, workers in choices:
            rate, share = twin(args, threads, workers)
            rates[threads, workers].append(rate)
            print(f"twin, {threads} threads, {workers} workers    {rate:6.1f} samples/s, {100 * share:.1f} % waiting for data",
                  flush=True)
    best = max(choices, key=lambda choice: statistics.median(rates[choice]))
    ratio = statistics.median(cpl) / statistics.median(rates[best])
    print(f"cpl train makes {ratio:.2f} times the samples a second of the best twin ({best[0]} threads, {best[1]} workers)")


if __name__ == "__main__":
    main()
