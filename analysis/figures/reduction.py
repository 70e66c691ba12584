"""When token reduction pays: measured speed-up over what multiply-adds and the roofline predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.style import COLOURS, GREY, MARKERS, head, tidy
from results.logs import read_lines
from results.store import ROOT

LOG = ROOT.parent / "docs" / "token-reduction.jsonl"
PREDICTIONS = {"macs": "multiply-adds", "roofline": "roofline, operator by operator"}
Line = Mapping[str, Any]


def stored_lines() -> list[Line]:
    """Return the log's lines of the processor and threads that were measured last; none where there is no log."""
    lines = read_lines(LOG) if LOG.exists() else []
    return [line for line in lines if processor_and_threads(line) == processor_and_threads(lines[-1])]


def processor_and_threads(line: Line) -> str:
    """Return what computed; a device's own name also counts the threads that it had, used or not."""
    return f"{line['device'].rpartition(', ')[0]}, {line['threads']} thread{'s' * (line['threads'] != 1)}"


def token_reduction(lines: Sequence[Line]) -> Figure:
    """Draw a panel per prediction: points per system and setting, a colour per system, a shape per batch, open unfused.

    Points of a machine that was slowed are pale.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 4.0), layout="constrained", sharey=True)
    colours = coloured(lines)
    markers = dict(zip(sorted({line["batch"] for line in lines}), MARKERS, strict=False))
    for axis, (kind, name) in zip(axes, PREDICTIONS.items(), strict=True):
        panel(lines, axis, kind, colours, markers)
        tidy(axis, f"times as fast, by {name}", "" if axis is axes[1] else "times as fast, measured")
    meant = [
        *(Line2D([], [], color=colour, marker="o", ls="", label=name) for name, colour in colours.items()),
        *(Line2D([], [], color=GREY, marker=one, ls="", label=f"batch {size}") for size, one in markers.items()),
        Line2D([], [], color=GREY, marker="o", mfc=GREY, ls="", label="fused attention"),
        Line2D([], [], color=GREY, marker="o", mfc="none", ls="", label="unfused attention"),
    ]
    figure.legend(handles=meant, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    head(figure, f"Token reduction over the whole transformer, {processor_and_threads(lines[0])}")
    return figure


def coloured(lines: Sequence[Line]) -> dict[str, str]:
    """Return the colour of every system that drops or merges tokens."""
    reducing = [
        name for line in lines for name, found in line["systems"].items() if found["times_as_fast"]["macs"] != 1
    ]
    return dict(zip(dict.fromkeys(reducing), COLOURS, strict=False))


def panel(lines: Sequence[Line], axis: Axes, kind: str, colours: Mapping[str, str], markers: Mapping[int, str]) -> None:
    """Draw measurements over one prediction: on the diagonal it was right, below the line at 1 nothing was won."""
    ends: list[float] = [1.0]
    for line in lines:
        for system, colour in colours.items():
            ratios = line["systems"][system]["times_as_fast"]
            fill = "none" if line["attention"] == "unfused" else colour
            pale = 0.35 if line.get("throttled") else 1.0
            at = ratios[kind], ratios["measured"]
            axis.plot(*at, markers[line["batch"]], color=colour, mfc=fill, ms=6, alpha=pale)
            ends += at
    axis.axline((1, 1), slope=1, color=GREY, lw=0.8, ls="--")
    axis.axhline(1, color=GREY, lw=0.8)
    limits = min(ends) - 0.05, max(ends) + 0.05
    axis.set(xlim=limits, ylim=limits)
