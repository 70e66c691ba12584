"""What both stages say about every person, from one pass: all that a quality threshold chooses between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sharpose.codecs.choice import HeatmapCodec
from sharpose.data.batches import sample_batches
from sharpose.data.coco import CocoTopDown
from sharpose.inference.pipeline import place
from sharpose.pose.normalise import normalise
from sharpose.pose.oks import instance_oks
from sharpose.runtime.errors import InputError, RunFailed


@dataclass(frozen=True)
class StagePose:
    """One stage's answer for every person. Points in photograph pixels; `oks` against the person's own annotation."""

    keypoints: Float[np.ndarray, "N K 2"]
    keypoint_scores: Float[np.ndarray, "N K"]
    oks: Float[np.ndarray, " N"]


@dataclass(frozen=True)
class BothStages:
    """One row per person of a data set, in its order; areas are those of the padded crops, as in `Predictions`."""

    coarse: StagePose
    fine: StagePose
    quality: Float[np.ndarray, " N"]
    instance_ids: Int[np.ndarray, " N"]
    image_ids: Int[np.ndarray, " N"]
    box_scores: Float[np.ndarray, " N"]
    areas: Float[np.ndarray, " N"]


@torch.inference_mode()
def predict_stages(
    model: nn.Module,
    dataset: CocoTopDown,
    codec: HeatmapCodec,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> BothStages:
    """Both stages for every person, without flip test, so that quality and decision are one per person (Figure 6).

    Raises InputError for a model that does not refine everybody, or boxes that belong to no annotation.
    """
    check_two_stages(model, dataset)
    device = torch.device(device)
    model = model.to(device).eval()
    parts: dict[str, list[np.ndarray]] = {}
    done = 0
    for batch in sample_batches(DataLoader(dataset, batch_size=batch_size)):
        output = model(normalise(batch["image"].to(device)))
        rows = {
            "quality": output.quality,
            "instance_ids": batch["instance_id"],
            "image_ids": batch["image_id"],
            "box_scores": batch["box_score"],
            "areas": batch["scale"].double().prod(dim=1),
        }
        for stage, heatmaps in (("coarse", output.coarse_heatmaps), ("fine", output.heatmaps)):
            points, scores = place(heatmaps, batch["center"], batch["scale"], codec)
            rows |= {f"{stage}_keypoints": points.double(), f"{stage}_scores": scores.double()}
        for name, values in rows.items():
            parts.setdefault(name, []).append(values.cpu().numpy())
        done += len(batch["image"])
        if progress is not None:
            progress(done, len(dataset))
    found = {name: np.concatenate(part) for name, part in parts.items()}
    if not all(np.isfinite(values).all() for values in found.values()):
        raise RunFailed("the model's output holds values that are not finite; check its weights")
    coarse, fine = (
        StagePose(found[f"{stage}_keypoints"], found[f"{stage}_scores"], oks(found[f"{stage}_keypoints"], dataset))
        for stage in ("coarse", "fine")
    )
    facts = ("quality", "instance_ids", "image_ids", "box_scores", "areas")
    return BothStages(coarse, fine, *(found[name] for name in facts))


def check_two_stages(model: nn.Module, dataset: CocoTopDown) -> None:
    """Raise InputError unless one pass of `model` gives both stages of everybody."""
    both = getattr(model, "stages", ()) == ("coarse", "fine")
    if not both or model.config.quality_threshold is not None:  # type: ignore[union-attr]
        raise InputError("both stages of everybody need a SHaRPose with stages = coarse-fine, quality_threshold = none")
    if dataset.boxes != "ground-truth":
        raise InputError(f"{dataset.boxes}: detections belong to no annotation, so OKS needs ground-truth boxes")


def oks(keypoints: Float[np.ndarray, "N K 2"], dataset: CocoTopDown) -> Float[np.ndarray, " N"]:
    """OKS of every person against the own annotation, by COCO's formula."""
    people = dataset.instances
    truth, visible, area = (
        torch.from_numpy(np.stack([np.asarray(getattr(person, name), dtype=np.float64) for person in people]))
        for name in ("keypoints", "visible", "area")
    )
    points: Tensor = torch.from_numpy(keypoints)
    return instance_oks(points, truth, visible, area, dataset.skeleton.sigmas).numpy()
