# SPDX-License-Identifier: Apache-2.0
"""Writes the report: JSON, Markdown, HTML with pictures; and the tree's own copies of the tables."""
import html
import json
import pathlib

import cv2
import numpy

from goals import goals
from media import REAL, names
from tables import all_tables, markdown

STYLE = """body{font:15px/1.45 sans-serif;margin:2em auto;max-width:1300px;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{border:1px solid #ccc;padding:.2em .6em;
text-align:left}th{background:#f3f3f3}img{max-width:100%;display:block;margin:.3em 0 1.2em}
.no{color:#b00020;font-weight:bold}p{max-width:60em}"""


def label(picture, text):
    """A picture with a line of text above it."""
    band = numpy.full((22, picture.shape[1], 3), 255, numpy.uint8)
    cv2.putText(band, text, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
    return numpy.vstack([band, picture])


def grid(rows):
    return numpy.vstack([numpy.hstack(row) for row in rows])


def window(picture, size, at=(0.5, 0.5)):
    height, width = picture.shape[:2]
    w, h = min(size[0], width), min(size[1], height)
    x, y = int((width - w) * at[0]), int((height - h) * at[1])
    return picture[y:y + h, x:x + w]


def strip(folders, frames, size, at=(0.5, 0.5)):
    """A row for each named folder, a column for each frame: a window of each at full size."""
    rows = []
    for name, folder in folders:
        paths = names(folder)
        rows.append([label(window(cv2.imread(str(paths[t])), size, at), f"{name}, frame {t}")
                     for t in frames if t < len(paths)])
    return grid(rows)


class Pictures:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.parts = []
        self.free = []  # of pictures that may be shown to anybody

    def add(self, name, title, picture, free=False):
        if free:
            self.free.append((name, title, picture))
        cv2.imwrite(str(self.folder / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        self.parts.append((name, title))


def make_pictures(result, options, sets, work):
    pictures = Pictures(options.out / "pictures")
    data = options.data
    for name, model in result["models"].items():
        out = pathlib.Path(model["work"])
        for kind in ("noise25", "rain", "snow"):
            clip = names_of(data / "eval-clips" / kind)[0]
            root = data / "eval-clips" / kind / clip
            pictures.add(f"{name}-eval-{kind}", f"{name}: {kind}, evaluation clip {clip}", strip(
                [("before", root / "input"), (name, out / "clips" / kind / clip),
                 ("clean", root / "target")], [0, 2, 7], (400, 260)))
        for kind in ("noise", "rain", "snow", "haze"):
            clip = "street"
            root = sets.root / "level50" / kind / clip
            pictures.add(f"{name}-street-{kind}", f"{name}: {kind} at level 0.5, street", strip(
                [("before", root / "input"), (name, out / "level50" / kind / clip),
                 ("clean", root / "target")], [0, 8, 40], (400, 300), (0.5, 0.7)))
        for kind in ("noise", "rain", "snow", "haze"):
            worst_stills(pictures, name, kind if kind != "noise" else "noise25", data, out)
        for clip in REAL:
            before = work / "real" / clip
            pictures.add(f"{name}-real-{clip}", f"{name}: {clip}, real weather", strip(
                [("before", before), (name, out / "real" / "real" / clip)], [0, 8, 39],
                (420, 420), (0.5, 0.6)))
            pictures.add(f"{name}-real-{clip}-whole", f"{name}: {clip}, whole frame", whole(
                before, out / "real" / "real" / clip, name, 39))
    peer_pictures(pictures, result, data, work)
    return pictures


def names_of(folder):
    return sorted(p.name for p in folder.iterdir() if p.is_dir())


def whole(before, after, name, t):
    parts = []
    for title, folder in (("before", before), (name, after)):
        picture = cv2.imread(str(names(folder)[t]))
        scale = min(1.0, 640 / picture.shape[1], 640 / picture.shape[0])
        parts.append(label(cv2.resize(picture, None, fx=scale, fy=scale,
                                      interpolation=cv2.INTER_AREA), f"{title}, frame {t}"))
    return grid([parts])


def worst_stills(pictures, name, kind, data, out):
    """The picture of a kind that gained least."""
    root = data / "eval" / kind

    def error(path, folder):
        a, b = cv2.imread(str(folder / path.name)), cv2.imread(str(root / "target" / path.name))
        return float(numpy.mean(numpy.square(a.astype(numpy.float32) - b)))

    paths = names(root / "input")
    worst = min(paths, key=lambda p: error(p, root / "input") / error(p, out / "stills" / kind))
    parts = [label(window(cv2.imread(str(folder / worst.name)), (420, 420)), title)
             for title, folder in (("before", root / "input"), (name, out / "stills" / kind),
                                   ("clean", root / "target"))]
    pictures.add(f"{name}-worst-{kind}", f"{name}: the {kind} picture that gains least, "
                 f"{worst.stem}", grid([parts]), free=True)


def peer_pictures(pictures, result, data, work):
    for kind in ("noise25", "rain", "snow"):
        clip = names_of(data / "eval-clips" / kind)[0]
        root = data / "eval-clips" / kind / clip
        entries = [("before", root / "input"), ("clean", root / "target")]
        entries += [(name, pathlib.Path(m["work"]) / "clips" / kind / clip)
                    for name, m in result["models"].items()]
        entries += [(name, work / "peers" / name / kind / clip)
                    for name in result["peers"]["clips"]]
        parts = [label(window(cv2.imread(str(names(folder)[-1])), (300, 240)), title)
                 for title, folder in entries]
        while len(parts) % 4:
            parts.append(numpy.full_like(parts[0], 255))
        pictures.add(f"peers-{kind}", f"{kind}, eighth frame, all contenders",
                     grid([parts[i:i + 4] for i in range(0, len(parts), 4)]), free=True)


def write_html(path, result, sections, pictures):
    parts = [f"<!doctype html><meta charset=utf-8><title>Quality</title><style>{STYLE}</style>",
             "<h1>Quality</h1>", f"<p>{html.escape(summary(result))}</p>"]
    for heading, tables in sections:
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        for title, text, head, rows in tables:
            parts.append(f"<h3>{html.escape(title)}</h3><p>{html.escape(text)}</p><table><tr>")
            parts += [f"<th>{html.escape(cell)}" for cell in head]
            for row in rows:
                parts.append("<tr>")
                for cell in row:
                    bad = cell.startswith("**")
                    parts.append(f"<td{' class=no' if bad else ''}>{html.escape(cell.strip('*'))}")
            parts.append("</table>")
    parts.append("<h2>Pictures</h2>")
    for name, title in pictures.parts:
        parts.append(f"<h3>{html.escape(title)}</h3><img loading=lazy src='pictures/{name}.jpg'>")
    path.write_text("\n".join(parts))


def summary(result):
    models = ", ".join(f"{n} ({m['macs_per_pixel']:.0f} MAC/px, {m['precision']}, sha256 "
                       f"{m['sha256']}…)" for n, m in result["models"].items())
    peers = result["peers"]["versions"]
    frames = ", ".join(f"{n} {c}" for n, c in result["frames"].items())
    return (f"{models}. Commit {result['commit']}, {result['machine']}, {result['mode']} mode: "
            f"frames of the test clips: {frames}; of each for what passes: "
            f"{next(iter(result['pass_frames'].values()))}; of real weather: "
            f"{result['real_frames']}. Peers: FFmpeg {peers['ffmpeg']}, OpenCV {peers['opencv']}, "
            f"NumPy {peers['numpy']}.")


BEGIN, END = "<!-- tables: bench/quality/run.sh --commit -->", "<!-- end of tables -->"


def commit_tables(root, result, text, pictures):
    """The evaluation sets are made of pictures without restrictions; only those go along."""
    first = next(iter(result["models"]))
    folder = root / "docs" / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    for name, title, picture in pictures.free:
        if name.startswith(("peers-", first + "-")):
            stem = name.removeprefix(first + "-")
            cv2.imwrite(str(folder / f"{stem}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
            text += f"\n### {title}\n\n![{title}](quality/{stem}.jpg)\n"
    kept = json.loads(json.dumps(result))
    for model in kept["models"].values():
        del model["work"]
    path = root / "bench" / "results" / "quality.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(kept), indent=1) + "\n")
    path = root / "docs" / "quality.md"
    old = path.read_text() if path.exists() else f"# Quality\n\n{BEGIN}\n{END}\n"
    head, rest = old.split(BEGIN)
    path.write_text(head + BEGIN + "\n\n" + text + "\n" + END + rest.split(END)[1])


def rounded(value):
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def write(result, options, sets, work):
    for model in result["models"].values():
        model["goals"] = goals(model, result["degraded"])
    sections = all_tables(result)
    pictures = make_pictures(result, options, sets, work)
    (options.out / "quality.json").write_text(json.dumps(rounded(result), indent=1) + "\n")
    text = summary(result) + "\n\n" + markdown(sections)
    (options.out / "quality.md").write_text("# Quality\n\n" + text)
    write_html(options.out / "report.html", result, sections, pictures)
    if options.commit:
        commit_tables(options.root, result, text, pictures)
