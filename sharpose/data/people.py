"""The people of a data set in memory: one array per column, as an object with five arrays each takes ten times as much.

COCO's training set has 149,813 people, and every process that trains on it holds them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

# what nothing here reads of an annotation, or of an image
UNUSED = ("segmentation", "license", "coco_url", "flickr_url", "date_captured")
WHOLE = 2**15


@dataclass(frozen=True)
class Instance:
    """One person to crop. bbox in pixels (x, y, w, h); keypoints (K, 2) and visible (K,) are zero for detections.

    bbox_xywh is (4,); weights (K,): how much each label counts in training.
    """

    instance_id: int
    image_id: int
    bbox_xywh: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    area: float
    box_score: float
    weights: np.ndarray


class Instances(Sequence[Instance]):
    """N people as columns, by the names of the fields of `Instance`; each is put together when it is asked for.

    `rows` are (N,), of a type with these names. Keypoints are float32 where that loses nothing, visible bool, and
    without weights every label counts 1.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.columns: dict[str, np.ndarray] = {name: rows[name].copy() for name in rows.dtype.names or ()}
        narrow = self.columns["keypoints"].astype(np.float32)
        if np.array_equal(narrow, self.columns["keypoints"]):
            self.columns["keypoints"] = narrow
        if (self.columns["weights"] == 1).all():
            del self.columns["weights"]

    def column(self, name: str) -> np.ndarray:
        """Return a field of everybody as float64, (N, ...)."""
        return self.columns[name].astype(np.float64)

    @property
    def image_ids(self) -> list[int]:
        """Return ids of the images with at least one of the people, ascending."""
        return sorted(set(self.columns["image_id"].tolist()))

    def __len__(self) -> int:
        return len(self.columns["instance_id"])

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Instance]: ...
    def __getitem__(self, index: int | slice) -> Instance | list[Instance]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        row = {name: column[index] for name, column in self.columns.items()}
        fields: dict[str, Any] = {
            name: value.astype(np.float64) if value.ndim else value.item() for name, value in row.items()
        }
        return Instance(**{"weights": np.ones(len(fields["visible"])), **fields})


class Columns:
    """Room for at most `most` people of `num_keypoints`, filled one by one."""

    def __init__(self, most: int, num_keypoints: int) -> None:
        scalars: list[Any] = [("instance_id", np.int64), ("image_id", np.int64), ("area", float), ("box_score", float)]
        arrays = [("bbox_xywh", float, 4), ("keypoints", float, (num_keypoints, 2))]
        labels = [("visible", bool, num_keypoints), ("weights", float, num_keypoints)]
        self.rows = np.zeros(most, dtype=[*scalars, *arrays, *labels])
        self.rows["weights"] = 1
        self.count = 0

    def add(self, **fields: Any) -> None:
        """Add a person, by the fields of `Instance`; detections have no keypoints, and labels count 1 by default."""
        for name, value in fields.items():
            self.rows[name][self.count] = value
        self.count += 1

    def people(self) -> Instances:
        """Return those that were added."""
        return Instances(self.rows[: self.count])


def compacted(row: dict[str, Any]) -> dict[str, Any]:
    """Return a COCO file's row, while it is parsed: no polygons and addresses, whole keypoints in two bytes each.

    Keypoints that are no small whole numbers stay as they are.
    """
    for name in UNUSED:
        row.pop(name, None)
    points = row.get("keypoints")
    # the names of a category's keypoints are a list too
    if isinstance(points, list) and {*map(type, points)} == {int} and min(points) >= -WHOLE and max(points) < WHOLE:
        row["keypoints"] = array("h", points)
    return row
