"""A scene before it is drawn: who is in it, and what is annotated as a crowd."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from sharpose.data.mannequin.figure import LABELS_PER_PERSON, Part
from sharpose.data.mannequin.paint import Actor, Cloths
from sharpose.data.mannequin.poses import Pose
from sharpose.data.mannequin.render import Camera, Canvas, Lens, Viewpoint
from sharpose.data.mannequin.skeleton3d import Body, Build
from sharpose.pose.skeleton import COCO

Array = np.ndarray
CROWD = 31  # the label of people who are too many and too small to be annotated one by one


@dataclass(frozen=True)
class Person:
    """Someone ready to be drawn: parts, camera, and the box (left, top, right, bottom) they fill in pixels.

    `cloths` are the tiles of what they wear, by its colour.
    """

    build: Build
    pose: Pose
    body: Body
    parts: list[Part]
    camera: Camera | Viewpoint
    box: Array
    cloths: Cloths = field(default_factory=dict)

    def actor(self, number: int) -> Actor:
        """Return what is drawn of somebody in a room, labelled as person `number`."""
        assert isinstance(self.camera, Viewpoint)
        return Actor(number, self.parts, self.camera, self.cloths)

    def moved(self, dx: float, dy: float) -> Person:
        """Return the same person drawn elsewhere."""
        assert isinstance(self.camera, Camera)  # before a room's lens nobody is moved in the picture
        x, y = self.camera.offset
        camera = replace(self.camera, offset=(x + dx, y + dy))
        return replace(self, camera=camera, box=self.box + np.array([dx, dy, dx, dy]))


@dataclass(frozen=True)
class Stage:
    """A scene before its people are drawn: background and crowd on the canvas, people from far to near.

    Version 2 has things among them and one lens.
    """

    canvas: Canvas
    light: float
    crowd: list[dict[str, Any]]
    people: list[Person]
    things: list[Actor] = field(default_factory=list)
    lens: Lens | None = None


def crowd_annotation(labels: Array) -> dict[str, Any]:
    """Return the annotation, without ids, of everybody in a label image who is in the crowd. `labels` is (H, W)."""
    mask = (labels // LABELS_PER_PERSON == CROWD).astype(np.uint8)
    return {
        "segmentation": {"counts": _run_lengths(mask), "size": list(labels.shape)},
        "num_keypoints": 0,
        "area": int(mask.sum()),
        "iscrowd": 1,
        "keypoints": [0] * (3 * COCO.num_keypoints),
        "bbox": list(cv2.boundingRect(mask)),
    }


def _run_lengths(mask: Array) -> list[int]:
    """Return COCO's uncompressed run lengths: column by column, starting with zeros. `mask` is (H, W), 0 or 1."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs
