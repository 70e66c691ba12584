"""The bench as a picture: ratios that were wanted, every row under the machine's roof, and where its time goes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, COLOURS, GREY, ORANGE, tidy, titled
from analysis.tables.bench import GIGA, KIND_TITLES

HATCHES = ("", "///", "", "xxx")


def ratios(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw the speed of a row relative to the row it is set against, with what was wanted as a mark."""
    shown = frame.dropna(subset=["ratio"]).iloc[::-1].reset_index(drop=True)
    axis.barh(shown.index, shown["ratio"], color=BLUE, height=0.6)
    for index, row in shown.iterrows():
        # behind the mark of what was wanted, where that is further out
        end = row[["ratio", "wanted"]].max()
        axis.annotate(f"{row['ratio']:.2f}", (end, index), (4, 0), textcoords="offset points", va="center")
    wanted = shown.dropna(subset=["wanted"])
    axis.scatter(wanted["wanted"], wanted.index, marker="|", s=220, color=ORANGE, zorder=3, label="wanted")
    axis.axvline(1, color=GREY, lw=0.8)
    axis.set_yticks(shown.index, [f"{row.label}\n÷ {row.against}" for row in shown.itertuples()], fontsize=8)
    axis.set_ylim(-0.7, len(shown) - 0.3)
    axis.legend(frameon=False, loc="lower right")
    return tidy(axis, "times as fast, rows that are compared interleaved", "")


def roof(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw multiply-adds per second over those per byte, under the measured roof; fewer bits are open squares."""
    shown = frame.dropna(subset=["macs_per_s"])
    peak, bandwidth = shown["matmul_macs_per_s"].median(), shown["copy_bytes_per_s"].median()
    # as far left as the roof falls, where some row is there
    first = min(shown["macs_per_byte"].min(), peak / bandwidth) / 1.5
    span = np.geomspace(first, shown["macs_per_byte"].max() * 1.5, 200)
    axis.plot(span, np.minimum(peak, span * bandwidth) / GIGA, color=GREY, lw=1.2)
    name = f"large fp32 matmul: {peak / GIGA:.0f}"
    axis.annotate(name, (span[-1], peak / GIGA), (0, 4), textcoords="offset points", ha="right", color=GREY)
    axis.annotate("large copy", (first, first * bandwidth / GIGA), (6, 0), textcoords="offset points", color=GREY)
    ours, full = ~shown["model"].str.contains("huggingface|timm"), shown["precision"] == "fp32"
    for mask, colour, marker, name in (
        (ours & full, BLUE, "o", "ours, fp32"),
        (~ours, ORANGE, "^", "peers, fp32"),
        (ours & ~full, BLUE, "s", "ours, bf16 and int8"),
    ):
        x, y = shown[mask]["macs_per_byte"], shown[mask]["macs_per_s"] / GIGA
        axis.plot(x, y, marker, ms=5, color=colour, mfc="none" if marker == "s" else colour, label=name)
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, loc="upper left", fontsize=8)
    return tidy(axis, "multiply-adds per byte that must be moved", "G multiply-adds per second")


def operators(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Draw the fractions of a call's time by kind of operator, a bar per row."""
    shown = frame.iloc[::-1].reset_index(drop=True)
    left = np.zeros(len(shown))
    kinds = [name for name in frame.columns if name not in ("label", "bench_run_id", "device")]
    for kind, colour in zip(kinds, (*COLOURS, GREY), strict=False):
        share = 100 * shown[kind].fillna(0).to_numpy()
        # kinds that come after each other are told apart without their colours
        hatch = HATCHES[kinds.index(kind) % len(HATCHES)]
        axis.barh(
            shown.index, share, left=left, color=colour, height=0.7, label=kind, hatch=hatch, edgecolor="white", lw=0
        )
        left += share
    axis.set_yticks(shown.index, shown["label"], fontsize=8)
    axis.set_ylim(-0.7, len(shown) - 0.3)
    axis.set_xlim(0, 100)
    if len(shown):
        axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, fontsize=8)
    return tidy(axis, "% of the time", "")


def bench(speeds: pd.DataFrame, kinds: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Yield names and figures, each as wide as a page, from the tables of speeds and of kinds of operators."""
    device = speeds["device"].iloc[0]
    compared = int(speeds["ratio"].notna().sum())
    said = f"Speed of a row over that of another, {device}, random weights"
    figure, axis = titled(said, (7.6, 1.2 + 0.34 * compared))
    ratios(speeds, axis)
    yield "bench", figure
    figure, axis = titled(f"What the machine allows and what was reached, {device}", (7.2, 4.4))
    roof(speeds, axis)
    yield "bench-roof", figure
    figure, axis = titled(f"Where the time goes, {device}", (7.6, 1.4 + 0.22 * len(kinds)))
    operators(kinds.rename(columns=KIND_TITLES), axis)
    yield "bench-operators", figure
