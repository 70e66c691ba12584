"""Predictions scored by COCO's protocol: average precision with its interval."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from sharpose.data.annotations import load_detections
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.metrics.coco_ap import Bootstrap, CocoMetrics, Scoring, box_ap, coco_ap
from sharpose.evaluation.metrics.postprocess import PROTOCOL, PostProcessing
from sharpose.inference.dataset import Predictions
from sharpose.runtime.files import sha256_of, write_atomically


@dataclass(frozen=True)
class Evaluation:
    """`metrics` over every image of the annotations; people and images say how much of the data set was evaluated."""

    metrics: CocoMetrics
    results: list[dict[str, Any]] = field(repr=False)
    people: int
    images_with_boxes: int
    images: int
    refine_rate: float | None = None
    kept_patches: dict[str, int] | None = None

    score_name = "ap"

    @property
    def bootstrap(self) -> Bootstrap | None:
        """Return replicates of AP."""
        return self.metrics.bootstrap

    def summary(self) -> dict[str, Any]:
        """Return figures for a record: COCO's ten with intervals, coverage, refine rate and patches refined."""
        bootstrap = self.metrics.bootstrap
        interval = bootstrap.interval() if bootstrap else (None, None)
        others = {} if bootstrap is None else bootstrap.intervals
        return {
            **self.metrics.values(),
            "ap_low": interval[0],
            "ap_high": interval[1],
            **{f"{name}_low": low for name, (low, _) in others.items()},
            **{f"{name}_high": high for name, (_, high) in others.items()},
            "refine_rate": self.refine_rate,
            **({} if self.kept_patches is None else {"kept_patches": self.kept_patches}),
            "people": self.people,
            "annotated_people": self.metrics.num_people,
            "images": self.images,
            "images_with_boxes": self.images_with_boxes,
        }


def score(
    predictions: Predictions,
    dataset: CocoTopDown,
    *,
    post_processing: PostProcessing = PROTOCOL,
    **how: Unpack[Scoring],
) -> Evaluation:
    """Return the AP of predictions for every person of a data set, as `coco_ap` has it, against its annotations."""
    found = score_results(predictions.results(dataset, post_processing), dataset, **how)
    return replace(found, refine_rate=predictions.refine_rate, kept_patches=predictions.kept_patches)


def score_results(results: list[dict[str, Any]], dataset: CocoTopDown, **how: Unpack[Scoring]) -> Evaluation:
    """Return the AP of rows in COCO's results format, from wherever they are, as `coco_ap` has it."""
    metrics = coco_ap(dataset.pose_file, results, every_interval=True, **how)
    return Evaluation(
        metrics=metrics,
        results=results,
        people=len(dataset),
        images_with_boxes=len(dataset.image_ids),
        images=metrics.num_images,
    )


def box_facts(dataset: CocoTopDown) -> dict[str, str | float | None]:
    """Return the boxes' detections file, by its sha256 and by COCO's AP of its boxes; None for ground truth."""
    if dataset.boxes == "ground-truth":
        return {"boxes_sha256": None, "boxes_ap": None}
    path = Path(dataset.boxes)
    detections = [row for _, row in load_detections(path, dataset.pose_file)]
    return {"boxes_sha256": sha256_of(path), "boxes_ap": box_ap(dataset.pose_file, detections)}


def save_results(results: list[dict[str, Any]], path: Path) -> None:
    """Write a results file whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(results), encoding="utf-8"))
