"""Learning curves: accuracy over the crops that every training of a tier had seen."""

from __future__ import annotations

import re
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, name_line, spread, tidy
from analysis.tables.manifests import read_training
from experiments.spec.catalog import Catalog

SCORES = {"ap": "AP", "pck": "PCK"}
STYLES = ("-", "--", ":")
USUAL = re.compile(r"-nano|-128x96|-(?:small|base)-256x192|-seed\d+")
GAP = 0.042
"""Least distance of two names, as a share of the axis."""


def curve_frame(catalog: Catalog) -> pd.DataFrame:
    """Return a row per training and validation: `weights`, `crops`, and a column per people and score, in percent."""
    folder = catalog.weights_path("any").parent
    rows = [
        {
            "weights": made.name,
            **{key: value if key in ("crops", "step") or value is None else 100 * value for key, value in row.items()},
        }
        for manifest in sorted(folder.glob("*.json"), key=lambda path: path.stem)
        if (made := read_training(manifest.with_suffix(".safetensors"))).curve
        for row in made.curve
    ]
    return pd.DataFrame(rows, columns=None if rows else ["weights", "crops"])


def curves(frame: pd.DataFrame, people: str, tier: str) -> Figure:
    """Draw AP and PCK on `people` over crops, on a log axis; a system's further seeds in its own colour, thin."""
    shown = [score for score in SCORES if f"{people}_{score}" in frame and frame[f"{people}_{score}"].notna().any()]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.8), squeeze=False, layout="constrained")
    for score, axis in zip(shown, axes[0], strict=True):
        draw_curves(frame.dropna(subset=[f"{people}_{score}"]), axis, f"{people}_{score}")
        tidy(axis, "crops seen", f"{SCORES[score]} on {people}\nwith flip test, {tier} tier, %")
    return figure


def draw_curves(frame: pd.DataFrame, axis: Axes, key: str) -> Axes:
    """Draw one line per training; thin ones lead from the first of every system to the names, right of all."""
    styles = cycle((colour, style) for style in STYLES for colour in COLOURS)
    systems = {name: next(styles) for name in dict.fromkeys(map(system, frame["weights"]))}
    parts = {name: part.sort_values("crops") for name, part in frame.groupby("weights", sort=False)}
    for name, part in parts.items():
        colour, style = systems[system(str(name))]
        seed = "-seed" in str(name)
        axis.plot(part["crops"], part[key], color=colour, ls=style, marker="o", ms=3, lw=0.7 if seed else 1.6)
    axis.set_xscale("log")
    first, last = axis.get_xlim()
    # right of the lines, room for their names
    axis.set_xlim(first, last * (last / first) ** 0.5)
    column = last * (last / first) ** 0.05
    named = {name: part.iloc[-1] for name, part in parts.items() if "-seed" not in str(name)}
    low, high = axis.get_ylim()
    heights = spread([float(end[key]) for end in named.values()], gap=GAP * (high - low))
    for (name, end), height in zip(named.items(), heights, strict=True):
        colour = systems[system(str(name))][0]
        axis.plot([end["crops"], column], [end[key], height], color=colour, lw=0.5)
        name_line(axis, column, height, system(str(name)), colour, dx=2)
    return axis


def system(weights: str) -> str:
    """Return the name of weights without the size that is usual in its tier, and the seed."""
    return USUAL.sub("", weights)
