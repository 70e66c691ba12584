"""How hard the people of a keypoint file are: views, tilts, hidden joints, overlaps, sizes, spread. No torch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.mask import iou

from sharpose.data.annotations import PoseFile, load_pose_file
from sharpose.runtime.errors import InputError

Array = np.ndarray
LARGE = 96.0**2
"""COCO's area, in square pixels, above which somebody is large."""
COVERED = 0.3
"""Fraction of a person's box that another's box must cover for them to overlap."""


def _figure(kind: str, text: str) -> Any:
    """Return a field that is printed by a format, and what it is called."""
    return field(metadata={"kind": kind, "text": text})


@dataclass(frozen=True)
class Description:
    """Figures of the people with a labelled keypoint in one file; NaN where nobody has what a figure is made of.

    Shares are of those people, `frontal` of those with both shoulders labelled. `tilt_p90` is of the torso's angle to
    the vertical, from middle of the hips to middle of the shoulders, 0 to 180. `spread` takes both axes together: the
    root mean square distance from the mean place, mean over keypoints.
    """

    name: str
    images: int = _figure("d", "images")
    people: int = _figure("d", "people with labelled keypoints")
    labelled: float = _figure(".1f", "keypoints labelled per person")
    frontal: float = _figure(".1%", "frontal: left shoulder right of the right one")
    tilt_p90: float = _figure(".0f", "torso tilt, 90th percentile, degrees")
    hidden: float = _figure(".1%", "labelled keypoints hidden (v = 1)")
    overlapped: float = _figure(".1%", "another's box over more than 30 % of one's own")
    large: float = _figure(".1%", "large: area above 96²")
    spread: float = _figure(".2f", "sd of a keypoint's place inside its box, in sides")
    cut: float = _figure(".1%", "box touches the picture's border")

    def facts(self) -> dict[str, Any]:
        """Return all figures by name; None for those that the file cannot give, as JSON has no NaN."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value for name, value in vars(self).items()
        }


def describe(path: Path) -> Description:
    """Read a keypoint file in COCO's or MPII's layout and measure its people.

    Raises InputError for a file that is wrong, or in which nobody has a labelled keypoint and a box.
    """
    return describe_people(load_pose_file(path))


def describe_people(pose_file: PoseFile) -> Description:
    """Measure the people of a file that has been read and checked.

    Raises InputError where nobody has a labelled keypoint and a box.
    """
    rows = [row for row in pose_file.annotations if not row.get("iscrowd") and min(row["bbox"][2:]) > 0]
    chosen = [at for at, row in enumerate(rows) if any(visible > 0 for visible in row["keypoints"][2::3])]
    if not chosen:
        raise InputError(f"{pose_file.path}: nobody in it has a labelled keypoint and a box with an area")
    boxes = np.array([row["bbox"] for row in rows], dtype=float)
    points = np.array([rows[at]["keypoints"] for at in chosen], dtype=float).reshape(len(chosen), -1, 3)
    names, own = pose_file.skeleton.keypoint_names, boxes[chosen]
    visible = points[:, :, 2]
    areas = [rows[at]["area"] for at in chosen if "area" in rows[at]]
    return Description(
        name=str(pose_file.path),
        images=len(pose_file.images),
        people=len(chosen),
        labelled=float((visible > 0).sum(axis=1).mean()),
        frontal=_frontal(points, names),
        tilt_p90=_tilt_p90(points, names),
        hidden=float((visible[visible > 0] == 1).mean()),
        overlapped=float((_covered([row["image_id"] for row in rows], boxes)[chosen] > COVERED).mean()),
        large=_mean(np.array(areas) > LARGE),
        spread=_spread(points, own),
        cut=_mean(_touching([rows[at] for at in chosen], pose_file)),
    )


def _mean(values: Array) -> float:
    """Return the mean of values (N,), NaN without any."""
    return float(values.mean()) if len(values) else float("nan")


def _pair(points: Array, names: tuple[str, ...], part: str) -> tuple[Array, Array, Array]:
    """Return left and right (N, 2), and whether both are labelled (N,); nobody's are without such a pair."""
    if not {f"left_{part}", f"right_{part}"} <= set(names):
        nothing = np.zeros((len(points), 2))
        return nothing, nothing, np.zeros(len(points), dtype=bool)
    left, right = (points[:, names.index(f"{side}_{part}")] for side in ("left", "right"))
    return left[:, :2], right[:, :2], (left[:, 2] > 0) & (right[:, 2] > 0)


def _frontal(points: Array, names: tuple[str, ...]) -> float:
    """Return the share of people, points (N, K, 3), whose left shoulder is to the right in the picture."""
    left, right, both = _pair(points, names, "shoulder")
    return _mean((left[:, 0] > right[:, 0])[both])


def _tilt_p90(points: Array, names: tuple[str, ...]) -> float:
    """Return the 90th percentile of how far trunks lean, in degrees; points are (N, K, 3)."""
    *shoulders, have_shoulders = _pair(points, names, "shoulder")
    *hips, have_hips = _pair(points, names, "hip")
    up = (np.mean(shoulders, axis=0) - np.mean(hips, axis=0))[have_shoulders & have_hips]
    return float(np.percentile(np.degrees(np.arctan2(np.abs(up[:, 0]), -up[:, 1])), 90)) if len(up) else float("nan")


def _covered(image_ids: list[Any], boxes: Array) -> Array:
    """Return the largest share of each box (N, 4: x, y, w, h) that one other box of the same image covers (N,)."""
    together: dict[Any, list[int]] = defaultdict(list)
    for index, image_id in enumerate(image_ids):
        together[image_id].append(index)
    covered = np.zeros(len(boxes))
    for members in together.values():
        # of a crowd, COCO's IoU is the share of the other box
        shares = iou(boxes[members], boxes[members], [1] * len(members))
        np.fill_diagonal(shares, 0.0)
        covered[members] = shares.max(axis=1)
    return covered


def _spread(points: Array, boxes: Array) -> float:
    """Return how far keypoints (N, K, 3) vary inside their boxes (N, 4), in shares of the sides."""
    inside = (points[:, :, :2] - boxes[:, None, :2]) / boxes[:, None, 2:]
    inside[points[:, :, 2] == 0] = np.nan
    often = np.isfinite(inside[:, :, 0]).sum(axis=0) > 1
    return _mean(np.sqrt(np.nanvar(inside[:, often], axis=0).sum(axis=-1)))


def _touching(rows: list[dict[str, Any]], pose_file: PoseFile) -> Array:
    """Return whether each box comes within a pixel of the border, (N,); without people in images of unknown size."""
    found = []
    for row in rows:
        image, (x, y, width, height) = pose_file.images[row["image_id"]], row["bbox"]
        if image.width and image.height:
            found.append(min(x, y) <= 1 or x + width >= image.width - 1 or y + height >= image.height - 1)
    return np.array(found, dtype=bool)


def table(found: list[Description]) -> str:
    """Return a line of a table in Markdown for every figure, a column for every file."""
    lines = [["", *(one.name for one in found)], ["---", *("---:" for _ in found)]]
    for figure in fields(Description)[1:]:
        kind, values = figure.metadata["kind"], [getattr(one, figure.name) for one in found]
        lines.append([figure.metadata["text"], *("-" if np.isnan(one) else format(one, kind) for one in values)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
