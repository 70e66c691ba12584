"""The bench as a picture: ratios that were wanted, and every row under the machine's roofline."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from results.store import ROOT

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6E6E6E"


def ratios(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Speed of a row relative to the row it is set against, with what was wanted as a mark."""
    shown = frame.dropna(subset=["ratio"]).iloc[::-1].reset_index(drop=True)
    axis.barh(shown.index, shown["ratio"], color=BLUE, height=0.6)
    for index, row in shown.iterrows():
        # behind the mark of what was wanted, where that is further out
        end = row[["ratio", "wanted"]].max()
        axis.annotate(f"{row['ratio']:.2f}", (end, index), (4, 0), textcoords="offset points", va="center")
    wanted = shown.dropna(subset=["wanted"])
    axis.scatter(wanted["wanted"], wanted.index, marker="|", s=220, color=ORANGE, zorder=3, label="wanted")
    axis.axvline(1, color=GREY, lw=0.8)
    axis.set_yticks(shown.index, [f"{row.label}\n/ {row.against}" for row in shown.itertuples()], fontsize=7)
    axis.set_xlabel("times the speed, all rows interleaved")
    axis.legend(frameon=False, loc="lower right")
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def roof(frame: pd.DataFrame, axis: Axes) -> Axes:
    """Multiply-adds per second over multiply-adds per byte, under the measured roof."""
    shown = frame.dropna(subset=["macs_per_s"])
    peak, bandwidth = shown["matmul_macs_per_s"].median(), shown["copy_bytes_per_s"].median()
    span = np.geomspace(
        min(shown["macs_per_byte"].min() / 2, peak / bandwidth / 4), shown["macs_per_byte"].max() * 2, 100
    )
    axis.loglog(span, np.minimum(peak, span * bandwidth) / 1e9, color=GREY, lw=1.2, label="roof, fp32")
    ours = ~shown["model"].str.contains("huggingface|timm")
    for mask, color, name in ((ours, BLUE, "ours"), (~ours, ORANGE, "peers")):
        axis.scatter(shown[mask]["macs_per_byte"], shown[mask]["macs_per_s"] / 1e9, s=18, color=color, label=name)
    axis.set_xlabel("multiply-adds per byte that must be moved")
    axis.set_ylabel("G multiply-adds per second")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def save_bench_figure(frame: pd.DataFrame, folder: Path = ROOT / "figures") -> list[Path]:
    """`bench.svg` and `bench.png`; nothing where no row has been timed."""
    if frame["macs_per_s"].isna().all():
        return []
    figure, axes = plt.subplots(1, 2, figsize=(12, 0.5 + 0.36 * len(frame)), layout="constrained", width_ratios=(3, 2))
    ratios(frame, axes[0])
    roof(frame, axes[1])
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, facts in ((".svg", {"Date": None}), (".png", None)):
        path = folder / f"bench{suffix}"
        figure.savefig(path, dpi=160, metadata=facts)
        paths.append(path)
    plt.close(figure)
    return paths
