"""What both stages say about every person, from one pass: all that a quality threshold chooses between."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from sharpose.codecs.choice import HeatmapCodec
from sharpose.data.coco import CocoTopDown
from sharpose.inference.dataset import Predictions, Reading, Way, predict_ways
from sharpose.pose.oks import instance_oks
from sharpose.runtime.errors import InputError


def predict_stages(
    model: nn.Module, dataset: CocoTopDown, codec: HeatmapCodec, **how: Unpack[Reading]
) -> tuple[Predictions, Predictions]:
    """Predict both stages of every person, without flip test, so that quality and decision are one each (Figure 6).

    `how` is as in `predict_ways`. Raises InputError for a model that does not refine everybody, or boxes that belong to
    no annotation.
    """
    check_two_stages(model, dataset)
    ways = [Way(codec, flip_test=False, output=output) for output in ("coarse_heatmaps", "heatmaps")]
    coarse, fine = predict_ways(model, dataset, codec, ways, **how)
    return coarse, fine


def check_two_stages(model: nn.Module, dataset: CocoTopDown) -> None:
    """Raise InputError unless one pass of `model` gives both stages of everybody."""
    both = getattr(model, "stages", ()) == ("coarse", "fine")
    if not both or model.config.quality_threshold is not None:  # type: ignore[union-attr]
        raise InputError("both stages of everybody need a SHaRPose with stages = coarse-fine, quality_threshold = none")
    if dataset.boxes != "ground-truth":
        raise InputError(f"{dataset.boxes}: detections belong to no annotation, so OKS needs ground-truth boxes")


def oks(keypoints: Float[np.ndarray, "N K 2"], dataset: CocoTopDown) -> Float[np.ndarray, " N"]:
    """Return the OKS of every person against that person's annotation, by COCO's formula."""
    truth, visible, area = (
        torch.from_numpy(dataset.instances.column(name)) for name in ("keypoints", "visible", "area")
    )
    return instance_oks(torch.from_numpy(keypoints), truth, visible, area, dataset.skeleton.sigmas).numpy()
