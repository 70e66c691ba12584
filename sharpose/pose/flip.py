"""Flip test: heatmaps of the mirrored image, put back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.pose.skeleton import flip_order


def flip_back(
    heatmaps: Float[Tensor, "B C h w"],
    flip_pairs: Sequence[tuple[int, int]],
    shift: bool = False,
    offsets: bool = False,
) -> Float[Tensor, "B C h w"]:
    """Mirror the maps and swap left and right keypoints: ready to be averaged with those of the unmirrored image.

    shift: move one pixel to the right, column 0 stays (plain and DARK codecs; never with UDP).
    offsets: three maps per keypoint, [disc, x offset, y offset]; x offsets change sign.
    """
    maps_per_keypoint = 3 if offsets else 1
    grouped = heatmaps.unflatten(1, (-1, maps_per_keypoint))
    flipped = grouped[:, list(flip_order(flip_pairs, grouped.shape[1]))].flip(-1)
    if offsets:
        flipped = flipped * flipped.new_tensor([1.0, -1.0, 1.0]).view(1, 1, 3, 1, 1)
    if shift:
        flipped = torch.cat([flipped[..., :1], flipped[..., :-1]], dim=-1)
    return flipped.flatten(1, 2)
