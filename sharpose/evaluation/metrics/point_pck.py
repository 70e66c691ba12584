"""PCK of predicted points: a keypoint is correct within a fraction of the torso's length, or of the box.

Torso: the distance from left shoulder to right hip, the measure of the Leeds Sports Pose benchmark (Yang & Ramanan,
PAMI 2013), at .2; from right shoulder to left hip for people who lack a label of the first. Layouts without shoulders
and hips take the longer side of the annotated box, at .05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from sharpose.pose.skeleton import Skeleton

TORSO = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
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
    """Return the fraction of labelled keypoints that are correct; people without a labelled torso do not count."""
    names = skeleton.keypoint_names
    measure: Literal["torso", "box"] = "torso" if all(name in names for pair in TORSO for name in pair) else "box"
    length = boxes_xywh[:, 2:].max(axis=1) if measure == "box" else torso_lengths(keypoints, visible, names)
    counted = (visible > 0) & (length > 0)[:, None]
    error = np.linalg.norm(predicted - keypoints, axis=2)
    right = (error <= THRESHOLDS[measure] * length[:, None]) & counted
    total = counted.sum(axis=0)
    per_keypoint = np.divide(right.sum(axis=0), total, out=np.full(len(names), np.nan), where=total > 0)
    value = float(right.sum() / total.sum()) if total.sum() else float("nan")
    return Pck(value, per_keypoint, right, counted, measure, THRESHOLDS[measure], int((length > 0).sum()))


def torso_lengths(
    keypoints: Float[np.ndarray, "N K 2"], visible: Float[np.ndarray, "N K"], names: tuple[str, ...]
) -> Float[np.ndarray, " N"]:
    """Return the first diagonal of the torso that is labelled; 0 for people without one."""
    lengths = np.zeros(len(keypoints))
    for pair in reversed(TORSO):
        first, second = (names.index(name) for name in pair)
        labelled = (visible[:, [first, second]] > 0).all(axis=1)
        apart = np.linalg.norm(keypoints[:, first] - keypoints[:, second], axis=1)
        lengths = np.where(labelled, apart, lengths)
    return lengths
