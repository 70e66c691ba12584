"""PCK of predicted points: a keypoint is right within a share of the person's torso, or of the box.

Torso: the distance from left shoulder to right hip, the measure of the Leeds Sports Pose benchmark (Yang & Ramanan,
PAMI 2013), at .2. Layouts without those two keypoints take the longer side of the annotated box, at .05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from sharpose.data.skeleton import Skeleton

TORSO = ("left_shoulder", "right_hip")
THRESHOLDS: dict[str, float] = {"torso": 0.2, "box": 0.05}


@dataclass(frozen=True)
class Pck:
    """Fractions. per_keypoint: NaN where nobody has it; people: who could be measured, of all who were predicted."""

    value: float
    per_keypoint: Float[np.ndarray, " K"]
    right: Bool[np.ndarray, "N K"]
    counted: Bool[np.ndarray, "N K"]
    measure: Literal["torso", "box"]
    threshold: float
    people: int


def pck(
    predicted: Float[np.ndarray, "N K 2"],
    keypoints: Float[np.ndarray, "N K 2"],
    visible: Float[np.ndarray, "N K"],
    boxes_xywh: Float[np.ndarray, "N 4"],
    skeleton: Skeleton,
) -> Pck:
    """Share of labelled keypoints that are right; people whose torso is not labelled do not count."""
    names = skeleton.keypoint_names
    measure: Literal["torso", "box"] = "torso" if all(name in names for name in TORSO) else "box"
    length = boxes_xywh[:, 2:].max(axis=1)
    if measure == "torso":
        ends = [names.index(name) for name in TORSO]
        apart = np.linalg.norm(keypoints[:, ends[0]] - keypoints[:, ends[1]], axis=1)
        length = np.where((visible[:, ends] > 0).all(axis=1), apart, 0.0)
    counted = (visible > 0) & (length > 0)[:, None]
    error = np.linalg.norm(predicted - keypoints, axis=2)
    right = (error <= THRESHOLDS[measure] * length[:, None]) & counted
    total = counted.sum(axis=0)
    per_keypoint = np.divide(right.sum(axis=0), total, out=np.full(len(names), np.nan), where=total > 0)
    value = float(right.sum() / total.sum()) if total.sum() else float("nan")
    return Pck(value, per_keypoint, right, counted, measure, THRESHOLDS[measure], int((length > 0).sum()))
