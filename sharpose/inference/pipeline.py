"""The one way from crops to keypoints: normalise, forward pass, flip test, decode, pixels of the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sharpose.codecs.grids import HeatmapCodec
from sharpose.pose.flip import flip_back
from sharpose.pose.normalise import normalise

Precision = Literal["fp32", "bf16", "fp16"]
Boxes = list[tuple[list[float], float]]
"""(x, y, width, height) in pixels, and a score, for each person of a picture."""
Forward = Callable[..., Any]
"""A model or a stage of one: normalised images (B, 3, H, W) to its output."""
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def look(
    model: Forward, crops: UInt8[Tensor, "B 3 H W"], *, flip_test: bool = False, precision: Precision = "fp32"
) -> list[Any]:
    """Run a model on 8-bit crops as `forward` does, in a precision."""
    # a network of another project has been trained on pixels of its own kind
    images = getattr(model, "normalise", normalise)(crops)
    with torch.autocast(crops.device.type, dtype=AUTOCAST.get(precision), enabled=precision != "fp32"):
        return forward(model, images, flip_test)


def forward(model: Forward, images: Float[Tensor, "B 3 H W"], flip_test: bool) -> list[Any]:
    """Return the model's output for the images as they are, and with the flip test also for the mirrored ones."""
    return [model(images), model(images.flip(-1))] if flip_test else [model(images)]


def mean_heatmaps(
    views: Sequence[Any], codec: HeatmapCodec, flip_pairs: Sequence[tuple[int, int]], output: str = "heatmaps"
) -> Float[Tensor, "B C h w"]:
    """Return what `forward` gave as heatmaps in single precision, averaged with the mirrored images' where it has them.

    flip_pairs: left and right keypoints. output: the name of the heatmaps.
    """
    heatmaps, *mirrored = (getattr(view, output).float() for view in views)
    for other in mirrored:
        offsets = codec.maps_per_keypoint == 3
        heatmaps = 0.5 * (heatmaps + flip_back(other, flip_pairs, shift=codec.flip_shift, offsets=offsets))
    return heatmaps


def place(
    heatmaps: Float[Tensor, "B C h w"],
    center: Float[Tensor, "B 2"],
    scale: Float[Tensor, "B 2"],
    codec: HeatmapCodec,
    decoder: HeatmapCodec | None = None,
) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Decode heatmaps to keypoints in pixels of the pictures, and their scores.

    decoder: another codec, that finds the peaks in maps which lie on the crops as `codec` has it.
    """
    points, scores = (decoder or codec).decode(heatmaps.float())
    return codec.to_image(points, center, scale), scores


def crop_frame(image_size: tuple[int, int]) -> tuple[Float[Tensor, "1 2"], Float[Tensor, "1 2"]]:
    """Return the `center` and `scale` with which `place` gives pixels of a UDP crop itself."""
    sides = torch.tensor([[image_size[1] - 1.0, image_size[0] - 1.0]])
    return sides / 2, sides
