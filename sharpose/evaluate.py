"""Predictions scored by COCO's protocol: average precision with its interval."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sharpose.data.annotations import load_detections
from sharpose.data.coco import CocoTopDown
from sharpose.files import sha256_of, write_atomically
from sharpose.metrics.coco_ap import RESAMPLES, CocoMetrics, box_ap, coco_ap
from sharpose.metrics.evaluators import Evaluator
from sharpose.metrics.postprocess import PROTOCOL, Cleaning
from sharpose.predictions import Codec, Precision, Progress, predict


@dataclass(frozen=True)
class Evaluation:
    """`metrics` over every image of the annotations; people and images say how much of the data set was looked at."""

    metrics: CocoMetrics
    results: list[dict[str, Any]] = field(repr=False)
    people: int
    images_with_boxes: int
    images: int
    refine_rate: float | None
    kept_patches: dict[str, int] | None = None

    def summary(self) -> dict[str, Any]:
        """Figures for a record: the ten COCO figures, the AP interval, coverage, refine rate and patches refined."""
        interval = self.metrics.bootstrap.interval() if self.metrics.bootstrap else (None, None)
        return {
            **self.metrics.values(),
            "ap_low": interval[0],
            "ap_high": interval[1],
            "refine_rate": self.refine_rate,
            **({} if self.kept_patches is None else {"kept_patches": self.kept_patches}),
            "people": self.people,
            "annotated_people": self.metrics.num_people,
            "images": self.images,
            "images_with_boxes": self.images_with_boxes,
        }


def evaluate(
    model: nn.Module,
    dataset: CocoTopDown,
    codec: Codec,
    *,
    batch_size: int = 32,
    flip_test: bool = True,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
    num_workers: int = 0,
    output: str = "heatmaps",
    cleaning: Cleaning = PROTOCOL,
    evaluator: Evaluator = "pycocotools",
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Predict every person of the data set and score the results against its annotations, by COCO's protocol.

    output: which attribute of the model's result to score. Raises RunFailed where not every person was predicted once.
    """
    predictions = predict(
        model,
        dataset,
        codec,
        batch_size=batch_size,
        flip_test=flip_test,
        device=device,
        precision=precision,
        num_workers=num_workers,
        output=output,
        progress=progress,
    )
    return score(
        dataset,
        predictions.results(dataset, cleaning),
        refine_rate=predictions.refine_rate,
        kept_patches=predictions.kept_patches,
        evaluator=evaluator,
        resamples=resamples,
        seed=seed,
    )


def score(
    dataset: CocoTopDown,
    results: list[dict[str, Any]],
    *,
    refine_rate: float | None = None,
    kept_patches: dict[str, int] | None = None,
    evaluator: Evaluator = "pycocotools",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Average precision of results on the images and annotations of a data set."""
    metrics = coco_ap(dataset.pose_file, results, resamples=resamples, seed=seed, evaluator=evaluator)
    return Evaluation(
        metrics=metrics,
        results=results,
        people=len(dataset),
        images_with_boxes=len(dataset.image_ids),
        images=metrics.num_images,
        refine_rate=refine_rate,
        kept_patches=kept_patches,
    )


def box_facts(dataset: CocoTopDown) -> dict[str, str | float | None]:
    """The detections file behind the boxes, by its sha256 and by COCO's AP of its boxes; None for ground truth."""
    if dataset.boxes == "ground-truth":
        return {"boxes_sha256": None, "boxes_ap": None}
    path = Path(dataset.boxes)
    detections = [row for _, row in load_detections(path, dataset.pose_file)]
    return {"boxes_sha256": sha256_of(path), "boxes_ap": box_ap(dataset.pose_file, detections)}


def save_results(results: list[dict[str, Any]], path: Path) -> None:
    """Write a results file whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(results)))
