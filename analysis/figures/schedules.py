"""Tokens per block, counters of multiply-adds, and speeds."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.style import BLUE, COLOURS, GREEN, GREY, MARKERS, ORANGE, name_line, spread, tidy


def tokens(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw the tokens that enter every block, a line per model."""
    parts = list(frame.groupby("label", sort=False))
    ends = [(part["block"].iloc[-1], part["tokens"].iloc[-1]) for _, part in parts]
    last = frame["block"].max()
    heights = spread([float(count) for _, count in ends], gap=9)
    for (name, part), colour, marker, (block, _), height in zip(parts, COLOURS, MARKERS, ends, heights, strict=False):
        axis.step(part["block"], part["tokens"], where="mid", color=colour, lw=1.4, marker=marker, ms=4)
        # those that end early are named right of the step that others make there, and below their level
        name_line(axis, block, height, str(name), colour, *((5, 0) if block == last else (14, -3)))
    axis.set_ylim(bottom=0)
    axis.set_xticks(range(1, int(frame["block"].max()) + 1))
    axis.tick_params(axis="x", labelsize=8)
    return tidy(axis, "block", "tokens that enter the block")


def counters(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw every counter's totals relative to torch's count: matmuls agree, norms and resizing come on top."""
    total = frame[frame["stage"] == "total"].reset_index(drop=True)
    series = (
        ("products", "fvcore, matmuls", GREEN, "s"),
        ("formula", "closed form, matmuls", ORANGE, "x"),
        ("fvcore", "fvcore, all", BLUE, "o"),
        ("formula_all", "closed form, all", GREY, "+"),
    )
    places = range(len(total))[::-1]
    for key, name, colour, marker in series:
        apart = 100 * (total[key] / total["torch"] - 1)
        axis.plot(apart, list(places), ls="", marker=marker, color=colour, ms=9, label=name, mfc="none")
    axis.axvline(0, color=GREY, lw=1, ls="--", zorder=0)
    labels = [f"{row.label}\n{row.torch:.3f} G by torch" for row in total.itertuples()]
    axis.set_yticks(list(places), labels)
    axis.margins(x=0.15, y=0.2)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return tidy(axis, "difference from torch's count of matmuls, %", "")


def batches(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw images per second over the batch size; a row's label is its model and its batch."""
    shown = frame.dropna(subset=["images_per_s"])
    parts = shown.groupby(shown["label"].str.rsplit(", ", n=1).str[0], sort=False)
    for (name, part), colour, marker in zip(parts, COLOURS, MARKERS, strict=False):
        axis.plot(part["batch_size"], part["images_per_s"], color=colour, marker=marker, lw=1.5)
        name_line(axis, part["batch_size"].iloc[-1], part["images_per_s"].iloc[-1], str(name), colour)
    axis.set_xscale("log", base=2)
    sizes = sorted(shown["batch_size"].unique())
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axis.set_ylim(bottom=0)
    return tidy(axis, "batch size", "images/s")


def refine_rates(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw images per second over the refine rate, and what its two ends alone would predict."""
    shown = frame.dropna(subset=["images_per_s"]).sort_values("refine_rate")
    share, time = 100 * shown["refine_rate"], 1 / shown["images_per_s"]
    line = time.iloc[0] + (time.iloc[-1] - time.iloc[0]) * shown["refine_rate"]
    axis.plot(share, 1 / line, color=GREY, ls="--", lw=1.2)
    axis.plot(share, shown["images_per_s"], color=BLUE, marker="o", lw=1.5)
    axis.text(0.97, 0.95, "measured", color=BLUE, fontsize=9, transform=axis.transAxes, va="top", ha="right")
    said = "time = coarse + refine rate × fine, from both ends"
    axis.text(0.97, 0.88, said, color=GREY, fontsize=9, transform=axis.transAxes, va="top", ha="right")
    axis.set_ylim(bottom=0)
    return tidy(axis, "refine rate, %", "images/s")
