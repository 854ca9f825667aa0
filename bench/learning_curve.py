#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws a training's log as an SVG: what each prompt gains over its input, in dB. Nothing but Python.

  bench/learning_curve.py LOG.jsonl OUT.svg

Solid: the last frame of a clip (or the only one); dotted: the first. Each point is the mean of some 4 % of the log, since
the samples of a step differ by more than a training gains in an hour. Grey lines are the starts of stages.
"""
import json
import sys

COLOURS = {"noise": "#1f5fa8", "rain": "#2a8f4f", "snow": "#b8860b", "haze": "#a83232"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 420, 60, 90, 40, 50


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if "psnr" in row and not row["stage"].startswith("router")]
    size = max(1, len(rows) // 24)
    pieces = [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)]
    last = rows[-1]["step"]

    def gain(piece, prompt, frame):
        values = [row["psnr"][prompt][frame] - row["psnr"][prompt][0] for row in piece if prompt in row["psnr"]]
        return sum(values) / len(values) if values else None

    curves = {}
    for prompt in COLOURS:
        for frame, dashes in ((1, "2 3"), (2, "")):
            points = [(piece[len(piece) // 2]["step"], gain(piece, prompt, frame)) for piece in pieces]
            curves[prompt, dashes] = [(step, value) for step, value in points if value is not None]
    most = max(value for curve in curves.values() for _, value in curve) * 1.05

    def x(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * max(value, 0) / most

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">Gain over the input in training, dB (solid: last frame, dotted: '
        "first)</text>",
    ]
    for i in range(6):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(most * i / 5):.1f}" y2="{y(most * i / 5):.1f}" '
                   'stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y(most * i / 5) + 4:.1f}" text-anchor="end">{most * i / 5:.1f}</text>')
        out.append(f'<text x="{x(last * i / 5):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                   f"{last * i / 5:.0f}</text>")
    for before, row in zip(rows, rows[1:]):
        if before["stage"] != row["stage"]:
            out.append(f'<line x1="{x(row["step"]):.1f}" x2="{x(row["step"]):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
                       'stroke="#999"/>')
            out.append(f'<text x="{x(row["step"]) + 4:.1f}" y="{TOP + 10}">{row["stage"]}</text>')
    for (prompt, dashes), curve in curves.items():
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve)
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[prompt]}" stroke-width="1.8" '
                   f'stroke-dasharray="{dashes}"/>')
        if not dashes:
            out.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y(curve[-1][1]) + 4:.1f}" fill="{COLOURS[prompt]}">'
                       f"{prompt}</text>")
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">step</text>')
    out.append("</svg>")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
