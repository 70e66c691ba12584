"""The people of a data set in memory: one array per column, as an object with five arrays each takes ten times as much.

COCO's training set has 149,813 people, and every process that trains on it holds them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

# what nothing here reads of an annotation, or of an image
UNUSED = ("segmentation", "license", "coco_url", "flickr_url", "date_captured")
WHOLE = 2**15


@dataclass(frozen=True)
class Instance:
    """One person to crop. bbox in pixels (x, y, w, h); keypoints (K, 2) and visible (K,) are zero for detections.

    weights (K,): how much each label counts in training.
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
    """N people as columns; each is put together when it is asked for.

    boxes (N, 4) float64; keypoints (N, K, 2), as float32 where that loses nothing; visible (N, K) bool; weights (N, K),
    None where every label counts 1.
    """

    def __init__(
        self,
        ids: np.ndarray,
        image_ids: np.ndarray,
        boxes: np.ndarray,
        keypoints: np.ndarray,
        visible: np.ndarray,
        areas: np.ndarray,
        scores: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        self.ids, self.image_ids, self.boxes, self.areas, self.scores = ids, image_ids, boxes, areas, scores
        narrow = keypoints.astype(np.float32)
        self.keypoints = narrow if np.array_equal(narrow, keypoints) else keypoints
        self.visible = visible.astype(bool)
        self.weights = None if (weights == 1).all() else weights

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Instance]: ...
    def __getitem__(self, index: int | slice) -> Instance | list[Instance]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        visible = self.visible[index].astype(np.float64)
        return Instance(
            int(self.ids[index]),
            int(self.image_ids[index]),
            self.boxes[index].copy(),
            self.keypoints[index].astype(np.float64),
            visible,
            float(self.areas[index]),
            float(self.scores[index]),
            np.ones_like(visible) if self.weights is None else self.weights[index].copy(),
        )

    def __iter__(self) -> Iterator[Instance]:
        return (self[at] for at in range(len(self)))


def image_ids_of(people: Sequence[Instance]) -> list[int]:
    """Ids of the images with at least one of the people, ascending."""
    return sorted(set(people.image_ids.tolist() if isinstance(people, Instances) else (p.image_id for p in people)))


class Columns:
    """Room for at most `most` people of `num_keypoints`, filled one by one."""

    def __init__(self, most: int, num_keypoints: int) -> None:
        self.ids, self.image_ids = np.zeros(most, np.int64), np.zeros(most, np.int64)
        self.boxes, self.areas, self.scores = np.zeros((most, 4)), np.zeros(most), np.zeros(most)
        self.keypoints = np.zeros((most, num_keypoints, 2))
        self.visible, self.weights = np.zeros((most, num_keypoints), bool), np.ones((most, num_keypoints))
        self.count = 0

    def add(self, ids: tuple[int, int], box: Any, area: float, score: float) -> int:
        """A person without keypoints; returns its row. ids: its own and its image's."""
        row = self.count
        self.ids[row], self.image_ids[row] = ids
        self.boxes[row], self.areas[row], self.scores[row] = box, area, score
        self.count += 1
        return row

    def people(self) -> Instances:
        """Those that were added."""
        own = slice(self.count)
        return Instances(
            self.ids[own].copy(),
            self.image_ids[own].copy(),
            self.boxes[own].copy(),
            self.keypoints[own].copy(),
            self.visible[own].copy(),
            self.areas[own].copy(),
            self.scores[own].copy(),
            self.weights[own].copy(),
        )


def compacted(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a COCO file, while it is parsed: without polygons and addresses, with whole keypoints in two bytes each.

    Keypoints that are no small whole numbers stay as they are.
    """
    for name in UNUSED:
        row.pop(name, None)
    points = row.get("keypoints")
    # the names of a category's keypoints are a list too
    if isinstance(points, list) and {*map(type, points)} == {int} and min(points) >= -WHOLE and max(points) < WHOLE:
        row["keypoints"] = array("h", points)
    return row
