"""The one way from crops to keypoints: normalise, forward pass, flip test, decode, pixels of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sharpose.pose.flip import flip_back
from sharpose.pose.normalise import normalise

Precision = Literal["fp32", "bf16", "fp16"]
Boxes = list[tuple[list[float], float]]
"""(x, y, width, height) in pixels, and a score, for each person of a picture."""
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@runtime_checkable
class Codec(Protocol):
    """What inference needs of a codec; `flip_shift` and `maps_per_keypoint` say how its maps are mirrored."""

    flip_shift: ClassVar[bool]
    maps_per_keypoint: ClassVar[int]

    def decode(self, heatmaps: Tensor, /) -> tuple[Tensor, Tensor]:
        """Return points (x, y), (B, K, 2) in pixels of the heatmaps (B, K·maps, h, w), and scores (B, K)."""

    def to_image(self, points: Tensor, center: Tensor, scale: Tensor, /) -> Tensor:
        """Return heatmap points (B, K, 2) in pixels of the pictures; `center` and `scale` (B, 2) are the crops'."""


@dataclass(frozen=True)
class Found:
    """Keypoints (B, K, 2) in pixels of the pictures, their scores (B, K), and the output of the model."""

    keypoints: Float[Tensor, "B K 2"]
    scores: Float[Tensor, "B K"]
    output: Any


def find_keypoints(
    model: nn.Module,
    crops: UInt8[Tensor, "B 3 H W"],
    center: Float[Tensor, "B 2"],
    scale: Float[Tensor, "B 2"],
    codec: Codec,
    *,
    flip_pairs: Sequence[tuple[int, int]] | None = None,
    precision: Precision = "fp32",
    output: str = "heatmaps",
) -> Found:
    """Run a model on crops, whose middles and sides in their pictures are `center` and `scale` (pixels, x before y).

    With `flip_pairs`, left and right keypoints, heatmaps are averaged with those of the mirrored crops.
    """
    heatmaps, result = find_heatmaps(model, crops, codec, flip_pairs=flip_pairs, precision=precision, output=output)
    return Found(*place(heatmaps, center, scale, codec), result)


def find_heatmaps(
    model: nn.Module,
    crops: UInt8[Tensor, "B 3 H W"],
    codec: Codec,
    *,
    flip_pairs: Sequence[tuple[int, int]] | None = None,
    precision: Precision = "fp32",
    output: str = "heatmaps",
) -> tuple[Float[Tensor, "B C h w"], Any]:
    """Run a model on crops as `find_keypoints` does; return what `forward` does."""
    # a network of another project has been trained on pixels of its own kind
    images = getattr(model, "normalise", normalise)(crops)
    with torch.autocast(crops.device.type, dtype=AUTOCAST.get(precision), enabled=precision != "fp32"):
        return forward(model, images, codec, flip_pairs, output)


def forward(
    model: nn.Module,
    images: Float[Tensor, "B 3 H W"],
    codec: Codec,
    flip_pairs: Sequence[tuple[int, int]] | None = None,
    output: str = "heatmaps",
) -> tuple[Float[Tensor, "B C h w"], Any]:
    """Return heatmaps in single precision, and the model's output for the images as they are.

    Heatmaps are averaged with the mirrored images' where `flip_pairs` are given.
    """
    result = model(images)
    heatmaps = getattr(result, output).float()
    if flip_pairs is not None:
        mirrored = getattr(model(images.flip(-1)), output).float()
        offsets = codec.maps_per_keypoint == 3
        heatmaps = 0.5 * (heatmaps + flip_back(mirrored, flip_pairs, shift=codec.flip_shift, offsets=offsets))
    return heatmaps, result


def place(
    heatmaps: Float[Tensor, "B C h w"],
    center: Float[Tensor, "B 2"],
    scale: Float[Tensor, "B 2"],
    codec: Codec,
    decoder: Codec | None = None,
) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Decode heatmaps to keypoints in pixels of the pictures, and their scores.

    decoder: another codec, that finds the peaks in maps which lie on the crops as `codec` has it.
    """
    points, scores = (decoder or codec).decode(heatmaps.float())
    return codec.to_image(points, center.to(points.device), scale.to(points.device)), scores


def crop_frame(image_size: tuple[int, int]) -> tuple[Float[Tensor, "1 2"], Float[Tensor, "1 2"]]:
    """Return the `center` and `scale` with which `place` gives pixels of a UDP crop itself."""
    sides = torch.tensor([[image_size[1] - 1.0, image_size[0] - 1.0]])
    return sides / 2, sides
