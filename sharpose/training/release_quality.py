"""The quality target of the public release, where its code and the paper's text differ."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from sharpose.codecs.heatmaps import peaks
from sharpose.pose.oks import instance_oks


def release_instance_oks(
    heatmaps: Float[Tensor, "B K h w"],
    targets: Float[Tensor, "B K h w"],
    visible: Float[Tensor, "B K"],
    scale: Float[Tensor, "B 2"],
    sigmas: Sequence[float],
) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"]]:
    """Return the public release's quality target, and which instances have a visible keypoint (others get 0).

    Kept as released: peaks are whole pixels, x is divided by the map's height and y by its width, and the area is that
    of the padded crop, `scale` (pixels, x before y).
    """
    scale = scale.to(heatmaps)
    height, width = heatmaps.shape[2:]
    pixels_per_step = scale / scale.new_tensor([height, width])
    predicted, truth = (peaks(maps)[0] * pixels_per_step[:, None] for maps in (heatmaps, targets))
    return instance_oks(predicted, truth, visible, scale.prod(dim=1), sigmas), (visible > 0).any(dim=1)
