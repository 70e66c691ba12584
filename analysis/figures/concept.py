"""The method on one person."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from analysis.figures.examples import Example, attention, attributed, extent
from analysis.figures.style import BLUE, GREY, ORANGE


def concept(example: Example) -> Figure:
    """Draw the method on one person: coarse stage, relevance and quality, fine stage on relevant patches."""
    facts, picture = example.facts, example.picture
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.9), gridspec_kw={"wspace": 0.34})
    rows, columns = facts["coarse_grid"]
    kept = len(facts["keep_indices"])
    small = picture.reshape(picture.shape[0] // 2, 2, picture.shape[1] // 2, 2, 3).mean(axis=(1, 3))
    axes[0].imshow(small, extent=extent(picture), interpolation="nearest")
    draw_grid(axes[0], picture, rows, columns)
    axes[1].imshow(picture, alpha=0.35, extent=extent(picture))
    attention(axes[1], example)
    axes[2].imshow(small, extent=extent(picture), interpolation="nearest")
    draw_kept(axes[2], example)
    axes[3].imshow(picture, extent=extent(picture))
    draw_pose(axes[3], facts["fine_keypoints"], facts["limbs"])
    patches = rows * columns
    titles = (
        f"1 coarse stage\n{patches} patches",
        f"2 where keypoints attend\npredicted quality {facts['quality']:.2f}",
        f"3 fine where it matters\n{kept} of {patches} patches (α = {facts['alpha']})",
        "4 keypoints",
    )
    for number, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        axis.set_title(title, fontsize=9.5, loc="left")
        axis.set_axis_off()
        axis.set_xlim(0, picture.shape[1])
        axis.set_ylim(picture.shape[0], 0)
        if number:
            draw_arrow(figure, axes[number - 1], axis)
    exit_note = "good enough? then the coarse keypoints are the answer and the fine stage is skipped"
    figure.text(0.5, 0.1, exit_note, ha="center", fontsize=10, color=ORANGE)
    return attributed(figure, [example])


def draw_grid(axis: Axes, picture: np.ndarray, rows: int, columns: int) -> None:
    """Draw the borders of `rows` x `columns` patches over a picture (H, W, 3)."""
    axis.vlines(np.linspace(0, picture.shape[1], columns + 1), 0, picture.shape[0], color="white", lw=0.5, alpha=0.7)
    axis.hlines(np.linspace(0, picture.shape[0], rows + 1), 0, picture.shape[1], color="white", lw=0.5, alpha=0.7)


def draw_kept(axis: Axes, example: Example) -> None:
    """Draw kept patches in full resolution, with the finer grid; all others stay coarse and pale."""
    picture, (rows, columns) = example.picture, example.facts["coarse_grid"]
    height, width = picture.shape[0] / rows, picture.shape[1] / columns
    axis.add_patch(Rectangle((0, 0), picture.shape[1], picture.shape[0], color="white", alpha=0.55, lw=0))
    for index in example.facts["keep_indices"]:
        top, left = index // columns * height, index % columns * width
        cut = picture[int(top) : int(top + height), int(left) : int(left + width)]
        axis.imshow(cut, extent=(left, left + width, top + height, top), zorder=2)
        for dy in (0, 0.5):
            for dx in (0, 0.5):
                corner = left + dx * width, top + dy * height
                axis.add_patch(Rectangle(corner, width / 2, height / 2, fill=False, color=ORANGE, lw=0.6, zorder=3))


def draw_pose(axis: Axes, keypoints: list[list[float]], limbs: list[list[int]]) -> None:
    """Draw `keypoints`, (x, y) in pixels of the picture, and `limbs`, pairs of their indices."""
    points = np.array(keypoints)
    for a, b in limbs:
        axis.plot(*points[[a, b]].T, color=BLUE, lw=1.6, solid_capstyle="round")
    axis.scatter(points[:, 0], points[:, 1], s=12, color=ORANGE, zorder=3)


def draw_arrow(figure: Figure, left: Axes, right: Axes) -> None:
    """Draw an arrow across the gap between two neighbouring axes, at half the height of the left one."""
    start, end = left.get_position().x1 + 0.006, right.get_position().x0 - 0.006
    middle = left.get_position().y0 + left.get_position().height / 2
    arrow = FancyArrowPatch((start, middle), (end, middle), transform=figure.transFigure, arrowstyle="-|>", color=GREY)
    figure.add_artist(arrow)
    arrow.set_mutation_scale(14)
