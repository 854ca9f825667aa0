#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# plot_soak.py IN.tsv OUT.svg: the resident memory (second column, KiB) over what the first column
# counts. Nothing but Python.
import sys


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        head, *lines = list(file)
    counted = head.split("\t")[0]
    rows = [tuple(int(cell) for cell in line.split("\t")) for line in lines]
    frames = [row[0] for row in rows]
    mib = [row[1] / 1024 for row in rows]
    width, height, left, bottom, top = 800, 360, 70, 50, 40
    last, most = max(frames[-1], 1), 1.25 * max(mib)

    def x(frame: float) -> float:
        return left + (width - left - 20) * frame / last

    def y(value: float) -> float:
        return height - bottom - (height - bottom - top) * value / most

    points = " ".join(f"{x(f):.1f},{y(m):.1f}" for f, m in zip(frames, mib))
    warm = [m for f, m in zip(frames, mib) if f <= last / 10][-1]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="14">Resident memory, {counted} up to {last}: {warm:.1f} MiB '
        f"after a tenth, {mib[-1]:.1f} MiB at the end</text>",
    ]
    for i in range(6):
        value = most * i / 5
        lines.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                     'stroke="#ddd"/>')
        lines.append(f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0f}</text>')
        lines.append(f'<text x="{x(last * i / 5):.1f}" y="{height - bottom + 18}" '
                     f'text-anchor="middle">{last * i / 5:.0f}</text>')
    lines += [
        f'<text x="{(left + width) / 2:.0f}" y="{height - 12}" text-anchor="middle">{counted}</text>',
        f'<text x="16" y="{height / 2:.0f}" transform="rotate(-90 16 {height / 2:.0f})" '
        'text-anchor="middle">MiB</text>',
        f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="2"/>',
        "</svg>",
    ]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


main()
