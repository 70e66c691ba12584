"""What the plain vision transformers of one stage have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sharpose.models.config import (
    Size,
    check,
    check_choices,
    check_heads,
    check_share,
    check_sizes,
    check_whole,
    is_number,
)


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range."""

    image_size: Size
    embed_dim: int
    patch_size: int = 16
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: int = 4
    num_keypoints: int = 17
    norm_eps: float = 1e-6
    drop_path: float = 0.1
    position_init: Literal["normal", "sincos"] = "normal"

    def __post_init__(self) -> None:
        check_choices(self)
        check_whole(self, "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "num_keypoints")
        check_sizes(self, "image_size")
        divisible = all(side % self.patch_size == 0 for side in self.image_size)
        check(divisible, "image_size", self.image_size, f"two multiples of patch_size = {self.patch_size}")
        check_heads(self.embed_dim, self.num_heads)
        check_share(self, "drop_path", below_one=True)
        check(is_number(self.norm_eps) and self.norm_eps > 0, "norm_eps", self.norm_eps, "a positive number")

    @property
    def grid(self) -> Size:
        """Return rows and columns of patches."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def num_patches(self) -> int:
        """Return how many patches an image has."""
        return math.prod(self.grid)
