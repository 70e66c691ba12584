"""A model over a data set: predictions, COCO results, average precision with its interval."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from sharpose.codecs.flip import flip_back
from sharpose.data.annotations import load_detections, load_pose_file, onto
from sharpose.data.coco import CocoTopDown, ground_truth_instances, sample_batches
from sharpose.data.normalise import normalise
from sharpose.distributed import gathered, rank_and_world
from sharpose.errors import InputError, RunFailed
from sharpose.files import sha256_of, write_atomically
from sharpose.metrics.coco_ap import RESAMPLES, CocoMetrics, box_ap, coco_ap
from sharpose.metrics.evaluators import Evaluator
from sharpose.metrics.postprocess import PROTOCOL, Cleaning, clean_detections

Precision = Literal["fp32", "bf16", "fp16"]
Progress = Callable[[int, int], None]
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@runtime_checkable
class Codec(Protocol):
    """What evaluation needs of a codec; `flip_shift` and `maps_per_keypoint` say how its maps are mirrored."""

    flip_shift: ClassVar[bool]
    maps_per_keypoint: ClassVar[int]

    def decode(self, heatmaps: Tensor, /) -> tuple[Tensor, Tensor]: ...

    def to_image(self, points: Tensor, center: Tensor, scale: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Predictions:
    """One row per person of a data set, in its order. Points and areas (of the padded crop) in photograph pixels."""

    keypoints: Float[np.ndarray, "N K 2"]
    keypoint_scores: Float[np.ndarray, "N K"]
    box_scores: Float[np.ndarray, " N"]
    areas: Float[np.ndarray, " N"]
    image_ids: Int[np.ndarray, " N"]
    instance_ids: Int[np.ndarray, " N"]
    needs_refinement: Bool[np.ndarray, " N"] | None = None
    num_kept: Int[np.ndarray, " N"] | None = None

    @property
    def refine_rate(self) -> float | None:
        """Share of people that went through the fine stage; None for models without early exit."""
        return None if self.needs_refinement is None else float(self.needs_refinement.mean())

    @property
    def kept_patches(self) -> dict[str, int] | None:
        """How many people went through the fine stage with how many refined patches; None where nobody chose any."""
        if self.num_kept is None or self.needs_refinement is None or not self.needs_refinement.any():
            return None
        numbers, people = np.unique(self.num_kept[self.needs_refinement], return_counts=True)
        # as in the JSON of a record
        return {str(number): count for number, count in zip(numbers.tolist(), people.tolist(), strict=True)}

    def results(self, dataset: CocoTopDown, cleaning: Cleaning = PROTOCOL) -> list[dict[str, Any]]:
        """COCO's results format: near-duplicates removed, score = box score x mean keypoint score above .2."""
        kept, scores = clean_detections(
            self.image_ids,
            self.instance_ids,
            self.keypoints,
            self.keypoint_scores,
            self.box_scores,
            self.areas,
            dataset.skeleton.sigmas,
            cleaning,
        )
        keypoints = np.concatenate([self.keypoints, self.keypoint_scores[..., None]], axis=2).reshape(len(scores), -1)
        return [
            {
                "image_id": int(self.image_ids[row]),
                "category_id": dataset.category_id,
                "keypoints": keypoints[row].tolist(),
                "score": float(scores[row]),
            }
            for row in kept
        ]


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


@torch.inference_mode()
def predict(
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
    progress: Progress | None = None,
) -> Predictions:
    """Keypoints of every person of the data set, in its order; flip test averages with the mirrored crop's heatmaps.

    Of several processes each looks at a part of the people; all of them return the whole.
    """
    device = torch.device(device)
    mine = Subset(dataset, share(len(dataset), *rank_and_world()))
    loader = DataLoader(mine, batch_size=batch_size, num_workers=num_workers, pin_memory=device.type == "cuda")
    parts: dict[str, list[np.ndarray]] = {}
    done = 0
    with _evaluating(model.to(device)):
        for batch in sample_batches(loader):
            heatmaps, chosen = _forward(
                model, batch["image"].to(device, non_blocking=True), codec, dataset, flip_test, precision, output
            )
            points, scores = codec.decode(heatmaps)
            _collect(
                parts,
                batch,
                codec.to_image(points, batch["center"].to(device), batch["scale"].to(device)),
                scores,
                chosen,
            )
            done += len(batch["image"])
            if progress is not None:
                progress(done, len(mine))
    predictions = merged(gathered({name: np.concatenate(part) for name, part in parts.items()}))
    check_complete(predictions, dataset)
    return predictions


def share(people: int, rank: int, world: int) -> range:
    """The people of one process: neighbours together, as they often share an image; every one in one share."""
    return range(people * rank // world, people * (rank + 1) // world)


def merged(parts: list[dict[str, np.ndarray]]) -> Predictions:
    """The predictions of every process, in the order of the data set; a process without people has none."""
    some = [part for part in parts if part]
    return Predictions(**{name: np.concatenate([part[name] for part in some]) for name in some[0]})


def check_complete(predictions: Predictions, dataset: CocoTopDown) -> None:
    """Raise RunFailed unless every person of the data set was predicted exactly once, with finite numbers."""
    expected = sorted(instance.instance_id for instance in dataset.instances)
    found = sorted(predictions.instance_ids.tolist())
    if found != expected:
        missing, extra = len(set(expected) - set(found)), len(found) - len(set(found))
        raise RunFailed(
            f"partial evaluation: {missing} of {len(expected)} people missing, {extra} predicted more than once"
        )
    if not (np.isfinite(predictions.keypoints).all() and np.isfinite(predictions.keypoint_scores).all()):
        raise RunFailed("the model's heatmaps hold values that are not finite; check its weights and the precision")


def mean_pose_control(train_annotations: Path | str, dataset: CocoTopDown) -> list[dict[str, Any]]:
    """Results of a predictor without a model: the mean pose of the training boxes, put into every box.

    What a model must beat to have learnt anything from pixels.
    """
    pose_file = load_pose_file(Path(train_annotations), None)
    if dataset.by_name is not None:
        pose_file = onto(pose_file, dataset.by_name)
    if pose_file.skeleton.num_keypoints != dataset.skeleton.num_keypoints:
        raise InputError(f"{train_annotations}: has other keypoints than {dataset.annotations}")
    people = ground_truth_instances(pose_file)
    if not people:
        raise InputError(f"{train_annotations}: holds no person with labelled keypoints and a box")
    boxes = np.stack([person.bbox_xywh for person in people])[:, None]
    visible = np.stack([person.visible for person in people])[..., None] > 0
    relative = (np.stack([person.keypoints for person in people]) - boxes[..., :2]) / boxes[..., 2:]
    mean = np.where(visible, relative, 0).sum(axis=0) / np.maximum(visible.sum(axis=0), 1)
    return [
        {
            "image_id": instance.image_id,
            "category_id": dataset.category_id,
            "keypoints": np.column_stack([mean * instance.bbox_xywh[2:] + instance.bbox_xywh[:2], np.ones(len(mean))])
            .ravel()
            .tolist(),
            "score": instance.box_score,
        }
        for instance in dataset.instances
    ]


def save_results(results: list[dict[str, Any]], path: Path) -> None:
    """Write a results file whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(results)))


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _forward(
    model: nn.Module,
    pixels: UInt8[Tensor, "B 3 H W"],
    codec: Codec,
    dataset: CocoTopDown,
    flip_test: bool,
    precision: Precision,
    output: str,
) -> tuple[Float[Tensor, "B C h w"], dict[str, Tensor]]:
    """Heatmaps, and what the model says of who was refined and how."""
    images = normalise(pixels)
    with torch.autocast(pixels.device.type, dtype=_AUTOCAST.get(precision), enabled=precision != "fp32"):
        result = model(images)
        heatmaps = getattr(result, output).float()
        if flip_test:
            mirrored = getattr(model(images.flip(-1)), output).float()
            pairs, offsets = dataset.skeleton.flip_pairs, codec.maps_per_keypoint == 3
            heatmaps = 0.5 * (heatmaps + flip_back(mirrored, pairs, shift=codec.flip_shift, offsets=offsets))
    said = {name: getattr(result, name, None) for name in ("needs_refinement", "num_kept")}
    return heatmaps, {name: value for name, value in said.items() if value is not None}


def _collect(
    parts: dict[str, list[np.ndarray]],
    batch: dict[str, Tensor],
    points: Tensor,
    scores: Tensor,
    chosen: dict[str, Tensor],
) -> None:
    rows = {
        "keypoints": points.double(),
        "keypoint_scores": scores.double(),
        "box_scores": batch["box_score"].double(),
        "areas": batch["scale"].double().prod(dim=1),
        "image_ids": batch["image_id"],
        "instance_ids": batch["instance_id"],
        **chosen,
    }
    for name, values in rows.items():
        parts.setdefault(name, []).append(values.cpu().numpy())
