"""People as the model saw them: the stored examples, and the figures made of them (Figures 2 and 5)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.figures.style import BLUE, ORANGE
from experiments.spec.catalog import EMBEDDED, examples_folder
from results.records import StoreError

FOLDER = examples_folder(EMBEDDED)


@dataclass(frozen=True)
class Example:
    """One person as the model saw it: the crop (H, W, 3) and the facts beside it."""

    picture: np.ndarray
    facts: dict[str, Any]


def load_example(name: str = "person", folder: Path = FOLDER) -> Example:
    """Return a stored example. Raises StoreError when it is missing or damaged."""
    try:
        return Example(
            plt.imread(folder / f"{name}.png"), json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        )
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / name}.json: cannot be read ({error}); `git checkout` it") from error


def blocks(example: Example) -> Figure:
    """Draw figure 2: one person's heatmaps, the strongest over all keypoints, decoded after every block."""
    facts = example.facts
    per_row, blocks = facts["blocks_per_row"], len(facts["block_names"])
    rows = -(-blocks // per_row)
    figure, axes = plt.subplots(rows, per_row + 1, figsize=(1.25 * (per_row + 1), 1.95 * rows), squeeze=False)
    for index in range(blocks):
        heatmap(axes[index // per_row, index % per_row + 1], example, index)
    axes[0, 0].imshow(example.picture)
    axes[0, 0].set_title("input", fontsize=8, loc="left")
    for axis in axes.ravel():
        axis.set_axis_off()
    figure.text(0.125, 1.0, facts["caption"], fontsize=9, ha="left", va="bottom")
    return attributed(figure, [example])


def attributed(figure: Figure, examples: Sequence[Example]) -> Figure:
    """Return the figure with the source and licence of every photograph in it below."""
    sources = [f"{one.facts['photograph']} ({one.facts['licence']})" for one in examples if "photograph" in one.facts]
    if sources:
        text = "Photographs, cropped: " + "\n".join(dict.fromkeys(sources))
        figure.text(0.125, 0.06, text, fontsize=5, ha="left", va="top")
    return figure


def heatmap(axis: Axes, example: Example, index: int) -> None:
    """Draw one block's heatmap over the pale picture, each on its own scale, its peak and the mean error so far."""
    facts, place = example.facts, extent(example.picture)
    maps = np.array(facts["block_maps"][index], dtype=float)
    axis.imshow(0.35 * example.picture + 0.65, extent=place)
    shown = np.clip(maps / max(maps.max(), 1e-6), 0, 1)
    axis.imshow(shown, extent=place, cmap="viridis", alpha=shown**0.6, interpolation="bilinear", vmin=0, vmax=1)
    axis.set_title(f"{facts['block_names'][index]}\n{facts['block_errors'][index]:.1f} px off", fontsize=8, loc="left")


def extent(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a picture (H, W, 3) for `imshow`: pixel edges lie on whole numbers."""
    return 0, picture.shape[1], picture.shape[0], 0


def people(examples: Sequence[Example]) -> Figure:
    """Draw Figure 5: where the model looks, person by person.

    For each the input, the accumulated attention of the keypoints, the patches that it selects, and those that one map
    for everybody selects.
    """
    size, gaps = (1.5 * len(examples), 8.4), {"wspace": 0.06, "hspace": 0.06}
    figure, axes = plt.subplots(4, len(examples), figsize=size, squeeze=False, gridspec_kw=gaps)
    for column, example in enumerate(examples):
        axes[0, column].imshow(example.picture)
        axes[1, column].imshow(0.4 * example.picture + 0.6, extent=extent(example.picture))
        attention(axes[1, column], example)
        kept, constant = (example.facts[key] for key in ("keep_indices", "constant_indices"))
        selected(axes[2, column], example, kept)
        selected(axes[3, column], example, constant, pose=False)
        axes[3, column].set_xlabel(f"{len(set(kept) & set(constant))} of {len(kept)} alike", fontsize=8)
        coarse, fine = example.facts["coarse_oks"], example.facts["fine_oks"]
        said = f"quality {example.facts['quality']:.2f}\nOKS {coarse:.2f} → {fine:.2f}"
        axes[0, column].set_title(said, fontsize=8, loc="left")
    chosen = f"selected, α = {examples[0].facts['alpha']}"
    for row, name in enumerate(("input", "accumulated attention", chosen, "selected by one map")):
        axes[row, 0].set_ylabel(name, fontsize=9)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    return attributed(figure, examples)


def attention(axis: Axes, example: Example, alpha: float = 0.75) -> None:
    """Draw how much the keypoints look at every coarse patch over a picture."""
    relevance = np.reshape(example.facts["relevance"], example.facts["coarse_grid"])
    axis.imshow(relevance, cmap="viridis", alpha=alpha, extent=extent(example.picture), interpolation="nearest")


def selected(axis: Axes, example: Example, indices: Sequence[int], *, pose: bool = True) -> None:
    """Draw these places' patches, all others pale; with `pose`, the keypoints of the fine stage that used them."""
    picture, facts = example.picture, example.facts
    rows, columns = facts["coarse_grid"]
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    shown = 0.25 * picture + 0.75
    for index in indices:
        place = (
            slice(index // columns * height, (index // columns + 1) * height),
            slice(index % columns * width, (index % columns + 1) * width),
        )
        shown[place] = picture[place]
        corner = place[1].start - 0.5, place[0].start - 0.5
        axis.add_patch(Rectangle(corner, width, height, fill=False, color=ORANGE, lw=0.7, zorder=2))
    axis.imshow(shown)
    points = np.array(facts["fine_keypoints"])
    for a, b in facts["limbs"] if pose else ():
        axis.plot(*points[[a, b]].T, color=BLUE, lw=1.2, zorder=3)
    axis.set_xlim(-0.5, picture.shape[1] - 0.5)
    axis.set_ylim(picture.shape[0] - 0.5, -0.5)
