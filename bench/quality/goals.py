# SPDX-License-Identifier: Apache-2.0
"""What a model must reach, and what it does."""

# A network of at most 4.2 thousand multiply-adds a pixel may be so much worse.
SMALL_MACS, SMALL_LOSS = 4500, 1.0


def share(part, whole):
    return part / whole if whole else None


def pooled(kinds, key="passed"):
    return share(sum(k[key] for k in kinds.values()), sum(k["n"] for k in kinds.values()))


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def motion(scores, key):
    return [s["motion"][key] for s in scores.values() if "motion" in s]


def matrix_margins(matrix, stills):
    """By kind: the matching prompt over the best other; the mean of wrong ones over the input."""
    margins = {}
    for kind, row in matrix.items():
        prompt = kind.rstrip("0123456789")
        if prompt == "clean" or row.get(prompt) is None:
            continue
        others = {p: v for p, v in row.items() if p != prompt}
        margins[kind] = {"over_other": row[prompt] - max(others.values()),
                         "wrong_over_input":
                             mean(others.values()) - stills[kind]["psnr_input_y"]}
    return margins


def changes_per_minute(passing, fps=25):
    kinds = [k for group in passing.values() for k in group.values()]
    frames = sum(k["n"] for k in kinds)
    return sum(k["changes"] for k in kinds) / frames * fps * 60 if frames else None


def goals(model, degraded):
    """Rows of what is asked, the bound, the value, whether reached. `above`: more is better."""
    slack = SMALL_LOSS if model["macs_per_pixel"] <= SMALL_MACS else 0
    clips, stills, test = model["clips"], model["stills"], model["test_clips"]
    rows = []

    def row(what, bound, value, unit="dB", above=True):
        reached = None if value is None else (value >= bound if above else value <= bound)
        rows.append({"what": what, "bound": bound, "above": above, "value": value, "unit": unit,
                     "reached": reached})

    def gain(kind, frame):
        return clips[kind][f"psnr_y_{frame}"] - clips[kind]["psnr_input_y"]

    row("noise25, first frame, RGB", 30.0 - slack, clips["noise25"]["psnr_rgb_first"])
    row("noise25, eighth frame, RGB", 33.5 - slack, clips["noise25"]["psnr_rgb_last"])
    row("rain, gain of the first frame, Y", 12 - slack, gain("rain", "first"))
    row("rain, gain of the eighth frame, Y", 16 - slack, gain("rain", "last"))
    row("snow, gain of the first frame, Y", 9 - slack, gain("snow", "first"))
    row("snow, gain of the eighth frame, Y", 16 - slack, gain("snow", "last"))
    row("haze, gain, Y", 12 - slack, stills["haze"]["psnr_y"] - stills["haze"]["psnr_input_y"])
    passing = model["passing"]
    clean = {f"{group} {kind}": k for group in ("clean", "eval clean")
             for kind, k in passing[group].items()}
    row("clean frames passed bit-exact", 0.99, pooled(clean), "share")
    bad = {f"{group} {kind}": k for group, kinds in passing.items() if group.startswith("level")
           for kind, k in kinds.items()}
    row("frames degraded at level 0.25 or more that are not passed", 0.98, 1 - pooled(bad),
        "share")
    before = {k: v for k, v in degraded.items() if "motion" in v}
    after = test["restored"]
    row("false-motion boxes, of the degraded clips'", 0.10,
        share(sum(motion(after, "false_per_minute")), sum(motion(before, "false_per_minute"))),
        "share", above=False)
    kept = sum(s["motion"]["recall"] * s["motion"]["movers"] for s in after.values()
               if "motion" in s)
    row("true movers kept", 0.95, share(kept, sum(motion(after, "movers"))), "share")
    weather = [k for k in after if not k.startswith("haze")]
    row("flicker on still pixels, of the input's", 0.15,
        mean([after[k]["flicker"] / degraded[k]["flicker"] for k in weather]), "share",
        above=False)
    alone = test["restored_alone"]
    row("PSNR on movers over that without memory, worst clip", -0.1,
        min(after[k]["moving"] - alone[k]["moving"] for k in alone))
    margins = matrix_margins(model["matrix"], stills).values()
    row("matching prompt over the best other, worst kind, Y", 3.0,
        min(m["over_other"] for m in margins))
    row("a wrong prompt over the input, mean, Y", -0.5, mean(m["wrong_over_input"]
                                                            for m in margins))
    return rows
