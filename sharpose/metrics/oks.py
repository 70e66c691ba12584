"""Object keypoint similarity, the measure behind COCO AP and the target of SHaRPose's quality output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sharpose.codecs.heatmaps import peaks


def instance_oks(
    predicted: Float[Tensor, "B K 2"],
    truth: Float[Tensor, "B K 2"],
    visible: Float[Tensor, "B K"],
    area: Float[Tensor, " B"],
    sigmas: Sequence[float],
) -> Float[Tensor, " B"]:
    """COCO's OKS of each prediction, mean over visible keypoints; 0 for people without one. This is the paper's target.

    Points and area in the same unit, e.g. photograph pixels and squared photograph pixels.
    """
    variance = (2 * torch.tensor(sigmas).to(predicted)) ** 2
    squared_distance = ((predicted - truth) ** 2).sum(dim=-1)
    error = squared_distance / variance / (area.to(predicted)[:, None] + torch.finfo(torch.float32).eps) / 2
    seen = (visible > 0).to(predicted)
    return ((-error).exp() * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)


def release_instance_oks(
    heatmaps: Float[Tensor, "B K h w"],
    targets: Float[Tensor, "B K h w"],
    visible: Float[Tensor, "B K"],
    scale: Float[Tensor, "B 2"],
    sigmas: Sequence[float],
) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"]]:
    """The public release's quality target, and which instances have a visible keypoint (others get 0).

    Kept as released: peaks are whole pixels, x is divided by the map's height and y by its width, and the area is that
    of the padded crop, `scale` (pixels, x before y).
    """
    scale = scale.to(heatmaps)
    height, width = heatmaps.shape[2:]
    pixels_per_step = scale / scale.new_tensor([height, width])
    predicted, truth = (peaks(maps)[0] * pixels_per_step[:, None] for maps in (heatmaps, targets))
    return instance_oks(predicted, truth, visible, scale.prod(dim=1), sigmas), (visible > 0).any(dim=1)
