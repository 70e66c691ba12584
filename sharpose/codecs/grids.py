"""How a heatmap's pixels lie on a crop, which goes with how the crop is cut: by the plain affine warp, or by UDP's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from sharpose.pose.geometry import Warp, affine_heatmap_to_image, udp_heatmap_to_image


@dataclass(frozen=True)
class AffineGrid:
    """Sizes are counted in pixels, as in SimpleBaseline and HRNet. image_size, heatmap_size: (height, width)."""

    image_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    flip_shift: ClassVar[bool] = True
    warp: ClassVar[Warp] = "affine"
    maps_per_keypoint: ClassVar[int] = 1

    def to_heatmap(self, keypoints: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
        """Crop pixels to heatmap pixels."""
        (height, width), (rows, columns) = self.image_size, self.heatmap_size
        return keypoints / keypoints.new_tensor([width / columns, height / rows])

    def to_image(
        self, points: Float[Tensor, "B K 2"], center: Float[Tensor, "B 2"], scale: Float[Tensor, "B 2"]
    ) -> Float[Tensor, "B K 2"]:
        """Heatmap pixels to pixels of the photograph, from crops around `center` of `scale` pixels."""
        return affine_heatmap_to_image(points, center, scale, self.heatmap_size)


@dataclass(frozen=True)
class UdpGrid:
    """Sizes are counted in steps between pixels (see `udp`). image_size, heatmap_size: (height, width)."""

    image_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    flip_shift: ClassVar[bool] = False
    warp: ClassVar[Warp] = "udp"
    maps_per_keypoint: ClassVar[int] = 1

    def to_heatmap(self, keypoints: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
        """Crop pixels to heatmap pixels."""
        (height, width), (rows, columns) = self.image_size, self.heatmap_size
        return keypoints / keypoints.new_tensor([(width - 1) / (columns - 1), (height - 1) / (rows - 1)])

    def to_image(
        self, points: Float[Tensor, "B K 2"], center: Float[Tensor, "B 2"], scale: Float[Tensor, "B 2"]
    ) -> Float[Tensor, "B K 2"]:
        """Heatmap pixels to pixels of the photograph, from crops around `center` of `scale` pixels."""
        return udp_heatmap_to_image(points, center, scale, self.heatmap_size)
