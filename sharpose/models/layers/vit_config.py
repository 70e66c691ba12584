"""What the plain vision transformers of one stage have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sharpose.models.config import Size, Whole, check_heads, check_sides
from sharpose.runtime.fields import Positive, ShareBelowOne, check_fields


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Sizes are (height, width) in pixels or patches. Raises InputError naming the field that is out of range."""

    image_size: Size
    embed_dim: Whole
    patch_size: Whole = 16
    depth: Whole = 12
    num_heads: Whole = 12
    mlp_ratio: Whole = 4
    num_keypoints: Whole = 17
    norm_eps: Positive = 1e-6
    drop_path: ShareBelowOne = 0.1
    position_init: Literal["normal", "sincos"] = "normal"

    def __post_init__(self) -> None:
        check_fields(self)
        check_sides(self.image_size, self.patch_size, "patch_size = ")
        check_heads(self.embed_dim, self.num_heads)

    @property
    def grid(self) -> Size:
        """Return rows and columns of patches."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def num_patches(self) -> int:
        """Return how many patches an image has."""
        return math.prod(self.grid)
