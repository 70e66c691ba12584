"""A model over a data set: the keypoints of every person, by one process or several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from sharpose.data.batches import sample_batches
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.metrics.postprocess import PROTOCOL, PostProcessing, post_process
from sharpose.inference.pipeline import Codec, Found, Precision, find_heatmaps, place
from sharpose.runtime.distributed import gathered, rank_and_world
from sharpose.runtime.errors import RunFailed
from sharpose.runtime.signals import block_stop_signals

Progress = Callable[[int, int], None]


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

    def results(self, dataset: CocoTopDown, post_processing: PostProcessing = PROTOCOL) -> list[dict[str, Any]]:
        """COCO's results format: near-duplicates removed, score = box score x mean keypoint score above .2."""
        kept, scores = post_process(
            self.image_ids,
            self.instance_ids,
            self.keypoints,
            self.keypoint_scores,
            self.box_scores,
            self.areas,
            dataset.skeleton.sigmas,
            post_processing,
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
class Way:
    """One way to read keypoints off a model's heatmaps: what finds the peaks, and whether the flip test comes first."""

    decoder: Codec
    flip_test: bool


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

    Of several processes each predicts a part of the people; all of them return the whole. Raises RunFailed where a
    person is missing, a worker was killed, or a prediction is not finite.
    """
    (found,) = predict_ways(
        model,
        dataset,
        codec,
        [Way(codec, flip_test)],
        batch_size=batch_size,
        device=device,
        precision=precision,
        num_workers=num_workers,
        output=output,
        progress=progress,
    )
    return found


@torch.inference_mode()
def predict_ways(
    model: nn.Module,
    dataset: CocoTopDown,
    codec: Codec,
    ways: Sequence[Way],
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
    num_workers: int = 0,
    output: str = "heatmaps",
    progress: Progress | None = None,
) -> list[Predictions]:
    """`predict` by several ways, from the same heatmaps; `codec` says how they lie on the crops and are mirrored."""
    device = torch.device(device)
    mine = Subset(dataset, shard(len(dataset), *rank_and_world()))
    loader = DataLoader(
        mine,
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=block_stop_signals,
    )
    flip_pairs = dataset.skeleton.flip_pairs if any(way.flip_test for way in ways) else None
    parts: list[dict[str, list[np.ndarray]]] = [{} for _ in ways]
    done = 0
    with _evaluating(model.to(device)):
        for batch in sample_batches(loader):
            averaged, result = find_heatmaps(
                model,
                batch["image"].to(device, non_blocking=True),
                codec,
                flip_pairs=flip_pairs,
                precision=precision,
                output=output,
            )
            for way, part in zip(ways, parts, strict=True):
                heatmaps = averaged if way.flip_test else getattr(result, output)
                points = place(heatmaps, batch["center"], batch["scale"], codec, way.decoder)
                _collect(part, batch, Found(*points, result))
            done += len(batch["image"])
            if progress is not None:
                progress(done, len(mine))
    whole = [merged(gathered({name: np.concatenate(rows) for name, rows in part.items()})) for part in parts]
    for predictions in whole:
        check_complete(predictions, dataset)
    return whole


def shard(people: int, rank: int, world: int) -> range:
    """The people of one process: neighbours together, as they often share an image; every one in one share."""
    return range(people * rank // world, people * (rank + 1) // world)


def merged(parts: list[dict[str, np.ndarray]]) -> Predictions:
    """The predictions of every process, in the order of the data set; a process without people has none.

    Every array has the people as its first dimension, (N, ...).
    """
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


SAID = ("needs_refinement", "num_kept")


def _collect(parts: dict[str, list[np.ndarray]], batch: dict[str, Tensor], found: Found) -> None:
    """Add a batch's rows, and what the model says of who was refined and how.

    Everything has the people of the batch as its first dimension, (B, ...).
    """
    said = {name: getattr(found.output, name, None) for name in SAID}
    rows = {
        "keypoints": found.keypoints.double(),
        "keypoint_scores": found.scores.double(),
        "box_scores": batch["box_score"].double(),
        "areas": batch["scale"].double().prod(dim=1),
        "image_ids": batch["image_id"],
        "instance_ids": batch["instance_id"],
        **{name: value for name, value in said.items() if value is not None},
    }
    for name, values in rows.items():
        parts.setdefault(name, []).append(values.cpu().numpy())
