"""What every codec is, and how its pixels lie on a crop: as that is cut, by the plain affine warp or by UDP's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.pose.geometry import Warp, heatmap_to_image, steps_across


@dataclass(frozen=True)
class HeatmapCodec(ABC):
    """Keypoints to heatmaps and back. image_size, heatmap_size: (height, width).

    Sizes are counted in steps across a picture, which `warp` says; `flip_shift` and `maps_per_keypoint` say how maps
    are mirrored.
    """

    image_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    warp: ClassVar[Warp]
    flip_shift: ClassVar[bool]
    maps_per_keypoint: ClassVar[int] = 1

    @abstractmethod
    def encode(
        self, keypoints: Float[Tensor, "B K 2"], visible: Float[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B K"]]:
        """Return heatmaps and weights for keypoints in crop pixels."""

    def decode(self, heatmaps: Float[Tensor, "B C h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Return points (x, y) in pixels of the heatmaps, and their scores."""
        # peaks and logarithms need it even when the model ran in half precision
        single = heatmaps.float() if heatmaps.dtype in (torch.float16, torch.bfloat16) else heatmaps
        with torch.autocast(heatmaps.device.type, enabled=False):
            return self.find(single)

    @abstractmethod
    def find(self, heatmaps: Float[Tensor, "B C h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Decode heatmaps in at least single precision."""

    def to_heatmap(self, keypoints: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
        """Convert crop pixels to heatmap pixels."""
        (width, height), (columns, rows) = (
            steps_across(size, self.warp) for size in (self.image_size, self.heatmap_size)
        )
        return keypoints / keypoints.new_tensor([width / columns, height / rows])

    def to_image(
        self, points: Float[Tensor, "B K 2"], center: Float[Tensor, "B 2"], scale: Float[Tensor, "B 2"]
    ) -> Float[Tensor, "B K 2"]:
        """Turn heatmap pixels into pixels of the photograph, from crops around `center` of `scale` pixels."""
        return heatmap_to_image(points, center, scale, self.heatmap_size, self.warp)


class AffineGrid(HeatmapCodec):
    """In pixels, as in SimpleBaseline and HRNet."""

    warp: ClassVar[Warp] = "affine"
    flip_shift: ClassVar[bool] = True


class UdpGrid(HeatmapCodec):
    """In steps between pixels (see `udp`)."""

    warp: ClassVar[Warp] = "udp"
    flip_shift: ClassVar[bool] = False
