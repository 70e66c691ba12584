"""Figure 6: accuracy and early exits over the quality threshold, what an exit saves, and the quality's calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, COLOURS, DASHES, GREEN, GREY, MARKERS, ORANGE, SKY, tidy
from analysis.gate.gate import pareto
from analysis.gate.gate_table import GateCurve

MANY = 20
"""A line of more points than this is drawn without them."""


def gate(curves: Sequence[GateCurve], tier: str = "nano") -> Figure:
    """Draw three panels per model in a column, two models abreast, with AP at `tier`; a row for a single one."""
    if len(curves) == 1:
        figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
        columns = [axes]
    else:
        blocks = -(-len(curves) // 2)
        shape: dict[str, Any] = {"figsize": (8, 8.4 * blocks), "gridspec_kw": {"hspace": 0.04}}
        figure, axes = plt.subplots(3 * blocks, 2, squeeze=False, layout="constrained", **shape)
        columns = [axes[3 * block : 3 * block + 3, side] for block in range(blocks) for side in (0, 1)]
    for axis in (axis for column in columns[len(curves) :] for axis in column):
        axis.remove()
    for column, curve in zip(columns, curves, strict=False):
        thresholds(curve.frame, column[0], f"{curve.label}: threshold", tier)
        savings(curve.frame, column[1], "what early exits cost", tier)
        reliability(curve.calibration.bins, column[2], f"quality, rank correlation {curve.calibration.rank:.2f}")
    return figure


def thresholds(frame: pd.DataFrame, axis: Axes, title: str, tier: str) -> Axes:
    """Draw AP, AP50 and AP75 as lines, the share of early exits as bars, evenly spaced as in the paper."""
    places = np.arange(len(frame))
    bars = axis.twinx()
    bars.bar(places, frame["exited_percent"], color=SKY, alpha=0.45, width=0.7, zorder=0)
    bars.set_ylim(0, 100)
    bars.set_ylabel("exit after the\ncoarse stage, % (bars)", color=GREY)
    bars.spines[["top"]].set_visible(False)
    axis.set_zorder(bars.get_zorder() + 1)
    axis.patch.set_visible(False)
    axis.fill_between(places, frame["ap_low"], frame["ap_high"], color=BLUE, alpha=0.25, lw=0)
    for name, colour, marker in (("AP50", GREEN, "^"), ("AP75", ORANGE, "s"), ("AP", BLUE, "o")):
        key = name.lower()
        axis.plot(places, frame[key], color=colour, marker=marker, ms=3.5, lw=1.5)
        # at the right end, where bars are low
        end = (places[-1], frame[key].iloc[-1])
        axis.annotate(name, end, xytext=(6, 4), textcoords="offset points", color=colour, fontsize=9, ha="right")
    values = frame["threshold"].iloc[1:-1]
    digits = 2 if np.allclose(values, values.round(2)) else 3
    inner = [f"{value:.{digits}f}" for value in values]
    axis.set_xticks(places, ["none\nrefined", *inner, "all\nrefined"], rotation=90, fontsize=8)
    axis.margins(y=0.15)
    return tidy(axis, "Q_thres", f"AP without flip test,\n{tier} tier, % (lines)", title)


def savings(frame: pd.DataFrame, axis: Axes, title: str, tier: str) -> Axes:
    """Draw AP over expected multiply-adds, beside random exits and an oracle by gain at the same exit rates."""
    shown = frame.sort_values("gflops")
    random = shown["ap"] - shown["ap_minus_random"]
    axis.fill_between(shown["gflops"], shown["ap_low"], shown["ap_high"], color=BLUE, alpha=0.2, lw=0)
    axis.plot(shown["gflops"], shown["ap"], color=BLUE, marker="o", ms=3.5, lw=1.5)
    axis.plot(shown["gflops"], random, color=GREY, ls="--", marker="x", ms=4, lw=1.2)
    axis.plot(shown["gflops"], shown["ap_by_gain"], color=ORANGE, ls=":", marker="^", ms=4, lw=1.2)
    low, high = axis.get_ylim()
    # the names have the lowest quarter to themselves
    axis.set_ylim(low - (high - low) / 3, high)
    known = ("by true gain, which no gate knows", ORANGE)
    name_below(axis, (known, ("by predicted quality", BLUE), ("as many at random", GREY)))
    return tidy(axis, "expected GFLOPs (multiply-adds), paper size", f"AP without flip test,\n{tier} tier, %", title)


def name_below(axis: Axes, names: Sequence[tuple[str, str]]) -> None:
    """Write the names of lines in their colours, in the lower right corner."""
    for place, (name, colour) in enumerate(reversed(names)):
        axis.text(0.97, 0.04 + 0.08 * place, name, color=colour, fontsize=9, ha="right", transform=axis.transAxes)


def reliability(bins: pd.DataFrame, axis: Axes, title: str) -> Axes:
    """Draw true over predicted quality, a point per tenth of the people; the diagonal would be right."""
    low = min(bins[["predicted", "true"]].min()) - 0.03
    axis.plot([low, 1], [low, 1], color=GREY, lw=1, ls="--")
    axis.annotate("ideal", (0.97, 0.97), (-4, -14), textcoords="offset points", color=GREY, fontsize=8.5, ha="left")
    for key, colour, marker in (("true", BLUE, "o"), ("true_fine", ORANGE, "s")):
        axis.plot(bins["predicted"], bins[key], color=colour, marker=marker, ms=4, lw=1.5)
    name_below(axis, (("of the fine answer", ORANGE), ("of the coarse answer", BLUE)))
    return tidy(axis, "predicted quality, tenths of the people", "true OKS", title)


def frontier(curves: Sequence[GateCurve], axis: Axes, tier: str) -> Axes:
    """Draw AP over expected multiply-adds, a line per α with a point per threshold."""
    every = pd.concat([curve.frame.assign(label=curve.label) for curve in curves], ignore_index=True)
    return over_cost(every, axis, "gflops", "expected GFLOPs (multiply-adds), paper-size model", tier)


def latencies(every: pd.DataFrame, axis: Axes, tier: str) -> Axes:
    """Draw rows of `analysis.gate.operating_point.over_latency`, a line per α with a point per threshold."""
    shown = every.assign(label=every["alpha"].map("{:g}".format), ap=100 * every["ap"])
    return over_cost(shown, axis, "latency_ms", "expected ms per person, paper-size model", tier)


def over_cost(every: pd.DataFrame, axis: Axes, cost: str, cost_title: str, tier: str) -> Axes:
    """Draw `ap` over a cost, a line per `label`, and what no other point beats."""
    best = pareto(every, cost)
    name = "no other point is both cheaper and better"
    axis.step(best[cost], best["ap"], where="post", color=GREY, lw=4, alpha=0.3, zorder=0, label=name)
    lines = every.groupby("label", sort=False)
    for (label, points), colour, marker, dashes in zip(lines, COLOURS, MARKERS, DASHES, strict=False):
        shown, mark = points.sort_values(cost), "" if len(points) > MANY else marker
        axis.plot(shown[cost], shown["ap"], marker=mark, color=colour, ls=dashes, ms=5, lw=1.3, label=f"α = {label}")
    axis.legend(frameon=False, fontsize=8.5, loc="best")
    axis.margins(x=0.06, y=0.1)
    return tidy(axis, cost_title, f"AP without flip test, {tier} tier, %")
