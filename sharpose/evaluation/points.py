"""Predictions scored point by point: PCKh on MPII, PCK on other data with annotated boxes; intervals over images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.metrics.coco_ap import RESAMPLES, Bootstrap
from sharpose.evaluation.metrics.pckh import COUNTED, MpiiTruth, Pckh, pckh, within
from sharpose.evaluation.metrics.point_pck import Pck, pck
from sharpose.evaluation.metrics.shares import share_bootstrap
from sharpose.inference.dataset import Predictions
from sharpose.runtime.errors import InputError, RunFailed


@dataclass(frozen=True)
class PckhEvaluation:
    """PCKh at .5 and at .1 of everybody in MPII's ground truth; `points` count pixels from 1, as the truth does."""

    at_half: Pckh
    at_tenth: Pckh
    bootstrap: Bootstrap
    points: Float[np.ndarray, "N 16 2"] = field(repr=False)
    people: int
    images: int
    refine_rate: float | None

    score_name = "pckh"

    def summary(self) -> dict[str, Any]:
        """Return flat figures for a record, as fractions: means, the first's interval, groups of joints, coverage."""
        low, high = self.bootstrap.interval()
        means: dict[str, Any] = {"pckh": fraction(self.at_half.mean), "pckh_low": low, "pckh_high": high}
        means |= {"pckh01": fraction(self.at_tenth.mean)}
        for name, result in (("pckh", self.at_half), ("pckh01", self.at_tenth)):
            means |= {f"{name}_{group}": fraction(value) for group, value in result.groups.items()}
            means |= {f"{name}_per_joint": [fraction(value) for value in result.per_joint]}
        coverage = {"people": self.people, "annotated_people": len(self.points)}
        images = {"images": self.images, "images_with_boxes": self.images}
        return {**means, "refine_rate": self.refine_rate, **coverage, **images}


def score_pckh(predictions: Predictions, dataset: CocoTopDown, truth: MpiiTruth) -> PckhEvaluation:
    """Score predictions on a data set in MPII's layout; row i of its file is person i of the truth.

    Raises InputError where file and truth differ in length, RunFailed where somebody of the truth was not predicted.
    """
    rows = dataset.pose_file.annotations
    if len(rows) != len(truth.keypoints):
        raise InputError(
            f"{dataset.annotations}: has {len(rows)} people and the ground truth {len(truth.keypoints)}; "
            "they must be of the same split"
        )
    points = np.zeros_like(truth.keypoints)
    points[predictions.instance_ids] = predictions.keypoints + 1
    unseen = np.setdiff1d(np.arange(len(rows)), predictions.instance_ids)
    if (~truth.missing[unseen]).any():
        raise RunFailed(f"partial evaluation: {len(unseen)} people of the ground truth were not predicted")
    image_ids = np.array([row["image_id"] for row in rows])
    counted = ~truth.missing[:, COUNTED]
    right = within(points, truth, 0.5)[:, COUNTED]
    return PckhEvaluation(
        at_half=pckh(points, truth, 0.5),
        at_tenth=pckh(points, truth, 0.1),
        bootstrap=share_bootstrap(right, counted, image_ids),
        points=points,
        people=len(dataset),
        images=len(dataset.image_ids),
        refine_rate=predictions.refine_rate,
    )


def score_pck(predictions: Predictions, dataset: CocoTopDown, resamples: int = RESAMPLES) -> tuple[Pck, Bootstrap]:
    """Return PCK of people predicted in annotated boxes, and its replicates. Raises InputError for other boxes."""
    if dataset.boxes != "ground-truth":
        raise InputError(f"{dataset.boxes}: PCK needs to know who is in a box; evaluate with ground-truth boxes")
    truth, visible, boxes = (dataset.instances.column(name) for name in ("keypoints", "visible", "bbox_xywh"))
    result = pck(predictions.keypoints, truth, visible, boxes, dataset.skeleton)
    return result, share_bootstrap(result.right, result.counted, predictions.image_ids, resamples)


def pck_summary(result: Pck, bootstrap: Bootstrap) -> dict[str, Any]:
    """Return flat figures of PCK, as fractions; None where nobody could be measured."""
    value, low, high = (result.value, *bootstrap.interval()) if result.people else (None, None, None)
    measured = {"pck_measure": result.measure, "pck_threshold": result.threshold, "pck_people": result.people}
    return {"pck": value, "pck_low": low, "pck_high": high, **measured}


def fraction(percent: float) -> float | None:
    """Return a percentage as a fraction; None for NaN, which is of joints that nobody has."""
    return None if np.isnan(percent) else float(percent) / 100
