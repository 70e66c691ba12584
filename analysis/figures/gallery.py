"""The stored people: what the model sees, which patches it refines and its keypoints, at every α of Table 6."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from analysis.figures.concept import draw_kept, draw_pose
from analysis.figures.examples import FOLDER, Example, attention, attributed, extent
from results.records import StoreError


def load_gallery(folder: Path = FOLDER) -> dict[str, Any]:
    """Return `gallery.json`, with every person's crop file. Raises StoreError when something is missing or damaged."""
    path = folder / "gallery.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for number, person in enumerate(content["people"], 1):
            person["file"] = folder / f"gallery-{number}.png"
            person["file"].stat()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: cannot be used ({error}); `git checkout` it, or sharpose figures --example"
        ) from error
    return content


def example(gallery: dict[str, Any], index: int, alpha: float) -> Example:
    """Return one person at one α, as the drawing functions of figures take it."""
    person = gallery["people"][index]
    fine = person["fine"][f"{alpha:.1f}"]
    facts = {**gallery, **person, "alpha": alpha, **fine, "fine_keypoints": fine["keypoints"]}
    return Example(plt.imread(person["file"]), facts)


def regions(gallery: dict[str, Any], alphas: Sequence[float] = (0.3, 0.5)) -> Figure:
    """Draw figure 5 on the stored people: input, accumulated attention, patches kept at each α, and keypoints."""
    people, columns = len(gallery["people"]), len(alphas) + 3
    figure, axes = plt.subplots(people, columns, figsize=(1.7 * columns, 2.2 * people), squeeze=False)
    for index, row in enumerate(axes):
        shown = example(gallery, index, alphas[-1])
        height, width, _ = shown.picture.shape
        for axis in row:
            axis.imshow(shown.picture, extent=extent(shown.picture))
            axis.set_axis_off()
        attention(row[1], shown, alpha=0.7)
        for axis, alpha in zip(row[2:-1], alphas, strict=True):
            draw_kept(axis, example(gallery, index, alpha))
        draw_pose(row[-1], shown.facts["fine_keypoints"], shown.facts["limbs"])
        for axis in row:
            axis.set(xlim=(0, width), ylim=(height, 0))
    titles = ["input", "attention", *(f"kept at α = {alpha}" for alpha in alphas), f"keypoints, α = {alphas[-1]}"]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    figure.tight_layout()
    return attributed(figure, [example(gallery, index, alphas[-1]) for index in range(people)])
