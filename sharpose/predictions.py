"""A model over a data set: the keypoints of every person, by one process or several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from sharpose.codecs.flip import flip_back
from sharpose.data.coco import CocoTopDown, sample_batches
from sharpose.data.normalise import normalise
from sharpose.distributed import gathered, rank_and_world
from sharpose.errors import RunFailed
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
    # a network of another project has been trained on pixels of its own kind
    images = getattr(model, "normalise", normalise)(pixels)
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
