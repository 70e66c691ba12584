"""Table 6 and the switches of Table `semantics` as pictures."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.style import BLUE, GREY, tidy


def alpha_curve(frame: pd.DataFrame, axis: Axes, accuracy_title: str) -> Axes:
    """Draw table 6 as a picture: AP with its interval over the multiply-adds of each α, each point named."""
    shown = frame.dropna(subset=["ap", "gflops"]).sort_values("gflops")
    errors = [(shown["ap"] - shown["ap_low"]), (shown["ap_high"] - shown["ap"])]
    axis.errorbar(shown["gflops"], shown["ap"], yerr=errors, color=BLUE, marker="o", capsize=3, lw=1.5)
    for number, row in enumerate(shown.itertuples()):
        # above the interval, where neighbours cannot cover it; the first below its own, as the line rises from it
        text, at, up = str(row.label), (row.gflops, row.ap_high), 4
        if number == 0:
            text, at, up = f"α = {row.label}", (row.gflops, row.ap_low), -13
        axis.annotate(text, at, xytext=(0, up), textcoords="offset points", ha="center", fontsize=9)
    axis.margins(x=0.09, y=0.12)
    return tidy(axis, "GFLOPs (multiply-adds), paper-size model, every person refined", accuracy_title)


def switches(frame: pd.DataFrame, axis: Axes, accuracy_title: str) -> Axes:
    """Draw what each switch between paper text and release does to AP: a line per row, the first AP as reference."""
    shown = frame.dropna(subset=["ap"]).reset_index(drop=True)
    places = range(len(shown))[::-1]
    errors = [shown["ap"] - shown["ap_low"], shown["ap_high"] - shown["ap"]]
    axis.axvline(shown["ap"].iloc[0], color=GREY, lw=1, ls="--", zorder=0)
    axis.errorbar(shown["ap"], list(places), xerr=errors, color=BLUE, marker="o", ls="", capsize=3)
    for place, row in zip(places, shown.to_dict("records"), strict=True):
        cost = "" if pd.isna(row["gflops"]) else f"{row['gflops']:.2f} G, "
        text = f"{cost}{100 * row['refined']:.0f} % refined"
        # a column of its own, right of every interval
        axis.annotate(text, (1.01, place), xycoords=axis.get_yaxis_transform(), fontsize=8, color=GREY, va="center")
    axis.set_yticks(list(places), shown["label"])
    return tidy(axis, accuracy_title, "")
