"""Colours and axes of every figure."""

from __future__ import annotations

from itertools import pairwise
from textwrap import wrap

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# readable in print and for colour-blind readers (Okabe and Ito)
BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#6E6E6E"
BLACK, YELLOW = "#000000", "#B8A000"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK, YELLOW)
# what tells lines apart without their colours
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
CHARACTERS = 12.5
"""Of a title, on an inch."""


def titled(text: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches under its title, and its axes."""
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    head(figure, text)
    return figure, axis


def head(figure: Figure, text: str) -> None:
    """Write the figure's title, from its left edge on, in as many lines as its width asks for."""
    lines = wrap(text, int(CHARACTERS * figure.get_figwidth()), break_on_hyphens=False)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10)


def tidy(axis: Axes, x: str, y: str, title: str = "") -> Axes:
    """Set axis titles, and remove the frame above and right."""
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if title:
        axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def name_line(axis: Axes, x: float, y: float, text: str, colour: str, dx: float = 5, dy: float = 0) -> None:
    """Write a line's name beside its end, in its colour; `dx` and `dy` in points."""
    axis.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        color=colour,
        fontsize=8.5,
        va="center",
        clip_on=False,
        # a name that was moved out of the axes is a name all the same
        annotation_clip=False,
        # other lines may cross the name
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5},
        zorder=5,
    )


def spread(values: list[float], gap: float) -> list[float]:
    """Return the same heights moved apart, so that names of neighbouring lines do not cover each other."""
    order = sorted(range(len(values)), key=values.__getitem__)
    moved = list(values)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    return moved
