"""PCKh of MPII: a keypoint is correct within a fraction of the head size, .6 times the diagonal of the head box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import Bool, Float

from sharpose.runtime.errors import InputError
from sharpose.runtime.files import check_regular

HEAD_FACTOR = 0.6
# pelvis and thorax do not count in the mean
COUNTED = np.setdiff1d(np.arange(16), (6, 7))
# numbers of sharpose.pose.skeleton.MPII
_GROUPS = {
    "head": (9,),
    "shoulder": (12, 13),
    "elbow": (11, 14),
    "wrist": (10, 15),
    "hip": (2, 3),
    "knee": (1, 4),
    "ankle": (0, 5),
}


@dataclass(frozen=True)
class MpiiTruth:
    """Points as in the official file, counted from 1."""

    keypoints: Float[np.ndarray, "N 16 2"]
    missing: Bool[np.ndarray, "N 16"]
    head_boxes: Float[np.ndarray, "N 2 2"]


@dataclass(frozen=True)
class Pckh:
    """Percent. per_joint: NaN where nobody has it; groups: right and left averaged; mean: over visible joints."""

    per_joint: Float[np.ndarray, " 16"]
    groups: dict[str, float]
    mean: float


def load_mpii_truth(path: Path | str) -> MpiiTruth:
    """Read the official `mpii_gt_val.mat` (jnt_missing, pos_gt_src, headboxes_src).

    Raises InputError where it is none, and for visible joints without a place or heads without a size.
    """
    content = read_mat(Path(path))
    try:
        keypoints, missing, boxes = content["pos_gt_src"], content["jnt_missing"], content["headboxes_src"]
    except KeyError as error:
        raise InputError(f"{path}: has no variable {error}; the MPII validation ground truth is wanted") from None
    people = keypoints.shape[-1]
    if keypoints.shape != (16, 2, people) or missing.shape != (16, people) or boxes.shape != (2, 2, people):
        raise InputError(f"{path}: pos_gt_src, jnt_missing and headboxes_src must be 16x2xN, 16xN and 2x2xN")
    truth = mpii_truth(keypoints, missing, boxes)
    visible = ~truth.missing
    if not (np.isfinite(truth.keypoints[visible]).all() and (head_sizes(truth)[visible.any(axis=1)] > 0).all()):
        raise InputError(f"{path}: visible joints must be finite, and the head boxes of their people have a size")
    return truth


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file. Raises InputError where it cannot be read."""
    check_regular(path)
    try:
        content: dict[str, Any] = scipy.io.loadmat(str(path))
    # a broken file raises whatever scipy's reader trips over
    except Exception as error:
        raise InputError(f"{path}: not a readable .mat file ({error}); fetch it again") from None
    return content


def mpii_truth(
    keypoints: Float[np.ndarray, "16 2 N"], missing: np.ndarray, head_boxes: Float[np.ndarray, "2 2 N"]
) -> MpiiTruth:
    """Return ground truth from arrays in the official file's layout, people last.

    `missing` is (16, N), not 0 where a joint is missing.
    """
    return MpiiTruth(
        keypoints=np.moveaxis(keypoints.astype(np.float64), -1, 0),
        missing=np.moveaxis(missing, -1, 0) != 0,
        head_boxes=np.moveaxis(head_boxes.astype(np.float64), -1, 0),
    )


def pckh(predicted: Float[np.ndarray, "N 16 2"], truth: MpiiTruth, threshold: float = 0.5) -> Pckh:
    """Score points that count from 1, as the official truth does (add 1 to pixel positions that count from 0).

    Raises InputError where their shape is not that of the truth.
    """
    if predicted.shape != truth.keypoints.shape:
        raise InputError(
            f"predictions have shape {predicted.shape}, the ground truth {truth.keypoints.shape}; "
            "one row per person in the order of the ground truth is wanted"
        )
    visible = ~truth.missing
    count = visible.sum(axis=0)
    right = within(predicted, truth, threshold).sum(axis=0)
    per_joint = np.divide(100.0 * right, count, out=np.full(len(count), np.nan), where=count > 0)
    total = count[COUNTED].sum()
    return Pckh(
        per_joint=per_joint,
        groups={name: float(per_joint[list(joints)].mean()) for name, joints in _GROUPS.items()},
        mean=float(100.0 * right[COUNTED].sum() / total) if total else float("nan"),
    )


def within(predicted: Float[np.ndarray, "N 16 2"], truth: MpiiTruth, threshold: float) -> Bool[np.ndarray, "N 16"]:
    """Return which visible joints lie within `threshold` of the head's size."""
    error = np.linalg.norm(predicted - truth.keypoints, axis=-1) / head_sizes(truth)[:, None]
    right: np.ndarray = (error <= threshold) & ~truth.missing
    return right


def head_sizes(truth: MpiiTruth) -> Float[np.ndarray, " N"]:
    """Return the measure of every person, in pixels."""
    sizes: np.ndarray = HEAD_FACTOR * np.linalg.norm(truth.head_boxes[:, 1] - truth.head_boxes[:, 0], axis=-1)
    return sizes
