"""Curves as text: in a word's place, and as a plot with axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
POINT, BETWEEN = "●", "·"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """Return values from the lowest to the highest block, at most `width` of them; a flat line where all are alike."""
    chosen = [values[index] for index in spaced(len(values), width)]
    low, high = min(chosen, default=0.0), max(chosen, default=0.0)
    steps = len(BLOCKS) - 1
    return "".join(BLOCKS[round(steps * (value - low) / (high - low)) if high > low else 0] for value in chosen)


def spaced(count: int, most: int) -> list[int]:
    """Return at most `most` places of `count`, evenly spaced, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def plot(points: Sequence[tuple[float, float]], title: str, width: int = 64, height: int = 10) -> list[str]:
    """Return lines of text that draw points (x, y), in the order of x, and what lies straight between them."""
    lowest, highest = min(y for _, y in points), max(y for _, y in points)
    first, last = points[0][0], points[-1][0]

    def column(x: float) -> int:
        return round((width - 1) * (x - first) / (last - first)) if last > first else 0

    def row(y: float) -> int:
        return round((height - 1) * (highest - y) / (highest - lowest)) if highest > lowest else height - 1

    grid = [[" "] * width for _ in range(height)]
    for (x, y), (next_x, next_y) in pairwise(points):
        for place in range(column(x), column(next_x) + 1):
            share = (place - column(x)) / max(column(next_x) - column(x), 1)
            grid[row(y + share * (next_y - y))][place] = BETWEEN
    for x, y in points:
        grid[row(y)][column(x)] = POINT
    ends = {0: f"{highest:.4g}", height - 1: f"{lowest:.4g}"}
    room = max(map(len, ends.values()))
    lines = [f"{ends.get(number, ''):>{room}} │{''.join(cells).rstrip()}" for number, cells in enumerate(grid)]
    below = f"{first:,.0f}" + f"{last:,.0f}".rjust(width - len(f"{first:,.0f}"))
    return [title, *lines, f"{'':>{room}}  {below}"]
