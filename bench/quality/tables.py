# SPDX-License-Identifier: Apache-2.0
"""The figures as tables: title, a sentence on what they are, head, rows of text."""
from goals import changes_per_minute, matrix_margins, pooled


def number(value, digits=2, sign=False):
    if value is None:
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"


def percent(value, digits=1):
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def goal_table(model):
    rows = []
    for g in model["goals"]:
        show = percent if g["unit"] == "share" else lambda v: number(v) + " dB"
        rows.append([g["what"], ("≥ " if g["above"] else "≤ ") + show(g["bound"]),
                     show(g["value"]), "reached" if g["reached"] else "**not reached**"])
    return ("Goals", "Of a network of at most 4.2 kMAC/px 1 dB less is asked.",
            ["goal", "bound", "value", ""], rows)


def stills_table(model):
    rows = [[kind, number(k["psnr_input_rgb"]), number(k["psnr_rgb"]), number(k["psnr_input_y"]),
             number(k["psnr_y"]), number(k["ssim_y"], 3),
             ", ".join(f"{p} {n}" for p, n in k["prompt_counts"].items() if n)]
            for kind, k in model["stills"].items()]
    return ("Single pictures (evaluation set)", "Each with fresh state, none passed.",
            ["kind", "RGB in", "RGB out", "Y in", "Y out", "SSIM Y", "prompts chosen"], rows)


def peers_table(result):
    kinds = [k for k in result["inputs"] if k != "clean"]
    rows = []

    def row(name, scores, note):
        cells = []
        for kind in kinds:
            k = scores.get(kind)
            cells += [number(k and k["psnr_y_first"]), number(k and k["psnr_y_last"])]
        rows.append([name, *cells, note])

    row("input", result["inputs"], "")
    for name, model in result["models"].items():
        row(name, model["clips"], "")
    for name, scores in result["peers"]["clips"].items():
        settings = result["peers"]["settings"][name]
        row(name, scores, "; ".join(
            k + " " + " ".join(f"{a}={b}" for a, b in s.items()) for k, s in settings.items()))
    head = ["Y, dB"]
    for kind in kinds:
        head += [f"{kind} first", "eighth"]
    return ("Clips of a fixed camera (evaluation set), against peers",
            "Each peer at the setting of a small grid that is best on the first clip of that "
            "degradation. nlmeans sees one frame; fastNlMeansMulti looks one frame ahead, median5 "
            "two, atadenoise up to four; hqdn3d and the models none.", head + ["setting"], rows)


def haze_table(result):
    rows = [["input", *[number(next(iter(result["models"].values()))["stills"]["haze"][k])
                        for k in ("psnr_input_rgb", "psnr_input_y")], "", ""]]
    for name, model in result["models"].items():
        k = model["stills"]["haze"]
        rows.append([name, number(k["psnr_rgb"]), number(k["psnr_y"]), number(k["ssim_y"], 3), ""])
    for name, kinds in result["peers"]["haze"].items():
        k = kinds["haze"]
        setting = result["peers"]["settings"][name]["haze"]
        rows.append([name, number(k["psnr_rgb"]), number(k["psnr_y"]), number(k["ssim_y"], 3),
                     " ".join(f"{a}={b}" for a, b in setting.items())])
    return ("Haze (evaluation set), against the dark-channel prior", "Single pictures.",
            ["", "RGB", "Y", "SSIM Y", "setting"], rows)


def clips_table(result, model):
    rows = []
    test = model["test_clips"]
    for label, before in result["degraded"].items():
        after = test["restored"][label]
        alone = test["restored_alone"].get(label)
        rows.append([label, number(before["flicker"]), number(after["flicker"]),
                     percent(after["flicker"] / before["flicker"], 0),
                     number(before["moving"]), number(after["moving"]),
                     number(alone and after["moving"] - alone["moving"], sign=True),
                     number(alone and after["trail"] - alone["trail"], sign=True)])
    return ("Test clips at level 0.5: flicker and ghosts",
            "Real clips of fixed cameras with `cpl degrade`'s weather. Flicker: temporal standard "
            "deviation of the error on pixels that stand still, from the ninth frame on. On movers: "
            "PSNR of Y on pixels that move, and what memory (temporal=on) gains there, and on "
            "pixels that a mover left within eight frames.",
            ["clip", "flicker in", "out", "of input", "movers in", "out", "memory: movers",
             "memory: trail"], rows)


def kinds_table(model):
    test = model["test_clips"]
    rows = [[kind, number(k["psnr_input_y"]), number(k["psnr_y"]),
             number(k["psnr_y"] - k["psnr_input_y"], sign=True),
             number(test["alone"][kind]["psnr_y"]) if kind in test["alone"] else "-"]
            for kind, k in test["kinds"].items()]
    return ("Test clips at level 0.5: PSNR", "Means over all frames, movers and all.",
            ["kind", "Y in", "Y out", "gain", "without memory"], rows)


def motion_table(result):
    rows = []

    def row(who, label, score):
        rows.append([who, label, number(score["boxes_per_minute"], 0),
                     number(score["false_per_minute"], 0), percent(score["recall"])])

    for name, score in result["clean_motion"].items():
        row("clean", name, score)
    for label, before in result["degraded"].items():
        if "motion" not in before:
            continue
        row("degraded", label, before["motion"])
        for name, model in result["models"].items():
            row(name, label, model["test_clips"]["restored"][label]["motion"])
        for name, long in result["peers"]["long"].items():
            if label in long:
                row(name, label, long[label]["motion"])
    return ("False motion",
            "Boxes of a simple recorder: running average, threshold, contours, at 320 pixels across. "
            "False is a box of which less than 0.3 is covered by a box of the clean clip; kept is a "
            "mover of the clean clip, there for three frames, of which half is covered. Where whole "
            "frames are one box, every mover counts as kept.",
            ["", "clip", "boxes/min", "false/min", "movers kept"], rows)


def people_table(result):
    rows = []
    for label, before in result["degraded"].items():
        if "people" not in before:
            continue
        cells = [label, str(before["people"]["in_clean"]), percent(before["people"]["recall"], 0),
                 str(before["people"]["extra"])]
        for model in result["models"].values():
            p = model["test_clips"]["restored"][label]["people"]
            cells += [percent(p["recall"], 0), str(p["extra"])]
        rows.append(cells)
    head = ["clip", "in the clean clip", "degraded: found", "others"]
    for name in result["models"]:
        head += [f"{name}: found", "others"]
    return ("People found (OpenCV's HOG detector as it comes)",
            "Against what it finds in the clean clip; every fourth frame.", head, rows)


def matrix_table(model):
    prompts = list(next(iter(model["matrix"].values())))
    margins = matrix_margins(model["matrix"], model["stills"])
    rows = []
    for kind, row in model["matrix"].items():
        rows.append([kind, number(model["stills"][kind]["psnr_input_y"]),
                     *[number(row[p]) for p in prompts],
                     number(margins[kind]["over_other"], sign=True) if kind in margins else "-",
                     number(margins[kind]["wrong_over_input"], sign=True)
                     if kind in margins else "-"])
    return ("Prompts, pinned", "PSNR of Y on single pictures; a dash is a bit-exact picture.",
            ["kind", "input", *prompts, "match over best other", "wrong over input"], rows)


def passing_table(model):
    rows = []
    for group, kinds in model["passing"].items():
        for kind, k in kinds.items():
            rows.append([group, kind, str(k["n"]), percent(k["passed"] / k["n"]),
                         ", ".join(f"{p} {n}" for p, n in k["prompts"].items() if n),
                         str(k["changes"])])
        if len(kinds) > 1:
            rows.append([group, "all", str(sum(k["n"] for k in kinds.values())),
                         percent(pooled(kinds)), "", str(sum(k["changes"]
                                                             for k in kinds.values()))])
    flips = changes_per_minute(model["passing"])
    return ("What passes untouched, and what is seen",
            f"With bypass=auto. Routing changes {number(flips, 1)} times a minute of 25 frames/s "
            "video, the first frames of clips included.",
            ["", "kind", "frames", "passed", "prompts", "changes"], rows)


def real_table(model):
    rows = [[name, percent(k["passed"] / k["n"]),
             ", ".join(f"{p} {n}" for p, n in k["prompts"].items() if n), str(k["changes"]),
             number(k["step_before"]), number(k["step_after"]), number(k["mean_before"], 1),
             number(k["mean_after"], 1), number(k["contrast_before"], 1),
             number(k["contrast_after"], 1)]
            for name, k in model["real"].items()]
    return ("Real weather, without a target",
            "Passed and prompts with bypass=auto; the rest with every frame restored: mean change "
            "from frame to frame, brightness and contrast (standard deviation) of Y.",
            ["clip", "passed", "prompts", "changes", "step in", "out", "mean in", "out",
             "contrast in", "out"], rows)


def all_tables(result):
    """Pairs of a heading (the model's name, or none) and its tables."""
    sections = []
    for name, model in result["models"].items():
        sections.append((name, [goal_table(model)]))
    sections.append(("Against peers", [peers_table(result), haze_table(result),
                                       motion_table(result), people_table(result)]))
    for name, model in result["models"].items():
        sections.append((f"{name} in detail", [
            stills_table(model), kinds_table(model), clips_table(result, model),
            matrix_table(model), passing_table(model), real_table(model)]))
    return sections


def markdown(sections):
    lines = []
    for heading, tables in sections:
        lines += [f"## {heading}", ""]
        for title, text, head, rows in tables:
            lines += [f"### {title}", "", text, "", "| " + " | ".join(head) + " |",
                      "|" + "---|" * len(head)]
            lines += ["| " + " | ".join(row) + " |" for row in rows]
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"
