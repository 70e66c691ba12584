"""A model over a data set: the keypoints of every person, by one process or several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from torch.utils.data import DataLoader, Subset

from sharpose.codecs.grids import HeatmapCodec
from sharpose.data.batches import sample_batches
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.metrics.postprocess import PROTOCOL, Detections, PostProcessing
from sharpose.inference.pipeline import Precision, look, mean_heatmaps, place
from sharpose.runtime.distributed import gathered, rank_and_world
from sharpose.runtime.errors import RunFailed
from sharpose.runtime.progress import Heard, unheard
from sharpose.runtime.signals import block_stop_signals

Rows = dict[str, np.ndarray]
"""Arrays by name, each with people as its first dimension."""
SAID = ("needs_refinement", "num_kept", "quality")
"""Fields of a model's output on refinement, where it has them."""


@dataclass(frozen=True)
class Predictions(Detections):
    """One row per person of a data set, in its order, and what the model says of its refinement."""

    needs_refinement: Bool[np.ndarray, " N"] | None = None
    num_kept: Int[np.ndarray, " N"] | None = None
    quality: Float[np.ndarray, " N"] | None = None

    @property
    def refine_rate(self) -> float | None:
        """Return the fraction of people who were refined; None for models without early exit."""
        return None if self.needs_refinement is None else float(self.needs_refinement.mean())

    @property
    def kept_patches(self) -> dict[str, int] | None:
        """Count refined people by their number of refined patches; None where no patches are selected."""
        if self.num_kept is None or self.needs_refinement is None or not self.needs_refinement.any():
            return None
        numbers, people = np.unique(self.num_kept[self.needs_refinement], return_counts=True)
        # as in the JSON of a record
        return {str(number): count for number, count in zip(numbers.tolist(), people.tolist(), strict=True)}

    def results(self, dataset: CocoTopDown, post_processing: PostProcessing = PROTOCOL) -> list[dict[str, Any]]:
        """Return results in COCO's format: near-duplicates removed, score = box score x mean keypoint score > .2."""
        return self.coco_results(dataset.pose_file, post_processing)[0]


@dataclass(frozen=True)
class Way:
    """One way to read keypoints off a model: what finds the peaks, with or without flip test, of which heatmaps."""

    decoder: HeatmapCodec
    flip_test: bool
    output: str = "heatmaps"


class Reading(TypedDict, total=False):
    """Options of `predict_ways` that callers hand on."""

    batch_size: int
    device: torch.device | str
    precision: Precision
    num_workers: int
    progress: Heard


def predict(
    model: nn.Module,
    dataset: CocoTopDown,
    codec: HeatmapCodec,
    *,
    flip_test: bool = True,
    output: str = "heatmaps",
    **how: Unpack[Reading],
) -> Predictions:
    """Predict every person's keypoints one way (see `predict_ways`); flip test averages with the mirrored heatmaps."""
    return predict_ways(model, dataset, codec, [Way(codec, flip_test, output)], **how)[0]


@torch.inference_mode()
def predict_ways(
    model: nn.Module,
    dataset: CocoTopDown,
    codec: HeatmapCodec,
    ways: Sequence[Way],
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    precision: Precision = "fp32",
    num_workers: int = 0,
    progress: Heard = unheard,
) -> list[Predictions]:
    """Predict everybody's keypoints in a data set, in its order, by each of several ways, from the same forward passes.

    codec: how heatmaps lie on the crops and are mirrored. Of several processes each predicts a part of the people; all
    of them return the whole. Raises RunFailed where a person is missing, a worker was killed, or a prediction is not
    finite.
    """
    device = torch.device(device)
    mine = Subset(dataset, shard(len(dataset), *rank_and_world()))
    loader = DataLoader(
        mine,
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=block_stop_signals,
    )
    flip_test = any(way.flip_test for way in ways)
    # ways that differ in what finds the peaks alone share them
    wanted = {(way.flip_test, way.output) for way in ways}
    parts: list[list[Rows]] = [[] for _ in ways]
    done = 0
    with _evaluating(model.to(device)):
        for batch in sample_batches(loader):
            views = look(model, batch["image"].to(device, non_blocking=True), flip_test=flip_test, precision=precision)
            said = {name: value for name in SAID if (value := getattr(views[0], name, None)) is not None}
            people = {
                "box_scores": batch["box_score"].double(),
                "areas": batch["scale"].double().prod(dim=1),
                "image_ids": batch["image_id"],
                "instance_ids": batch["instance_id"],
                **{name: value.float() if value.is_floating_point() else value for name, value in said.items()},
            }
            maps = {
                (flip, output): mean_heatmaps(views if flip else views[:1], codec, dataset.skeleton.flip_pairs, output)
                for flip, output in wanted
            }
            for way, part in zip(ways, parts, strict=True):
                heatmaps = maps[way.flip_test, way.output]
                points, scores = place(heatmaps, batch["center"], batch["scale"], codec, way.decoder)
                rows = {"keypoints": points.double(), "keypoint_scores": scores.double(), **people}
                part.append({name: values.cpu().numpy() for name, values in rows.items()})
            done += len(batch["image"])
            progress(done, len(mine))
    whole = [Predictions(**joined(gathered(joined(part)))) for part in parts]
    for predictions in whole:
        check_complete(predictions, dataset)
    return whole


def shard(people: int, rank: int, world: int) -> range:
    """Return this process's shard, consecutive people, who often share an image; everyone is in exactly one shard."""
    return range(people * rank // world, people * (rank + 1) // world)


def joined(parts: list[Rows]) -> Rows:
    """Return the rows of several parts in a row; a part without people has none."""
    some = [part for part in parts if part]
    return {name: np.concatenate([part[name] for part in some]) for name in some[0]} if some else {}


def check_complete(predictions: Predictions, dataset: CocoTopDown) -> None:
    """Raise RunFailed unless every person of the data set was predicted exactly once, with finite numbers."""
    expected = sorted(dataset.instances.columns["instance_id"].tolist())
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
