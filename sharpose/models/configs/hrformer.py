"""HRFormer's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.configs.base import (
    Entry,
    Size,
    check,
    check_choices,
    check_heads,
    check_quarter,
    check_share,
    check_sizes,
    check_whole,
    check_whole_list,
)


@dataclass(frozen=True)
class HRFormerConfig:
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4.

    Raises InputError naming the field that is out of range.
    """

    image_size: Size
    heatmap_size: Size
    widths: tuple[int, ...]
    """Channels of the branches, finest first."""
    num_heads: tuple[int, ...]
    """Heads of the branches, finest first."""
    modules: tuple[int, ...]
    blocks_per_branch: int = 2
    window_size: int = 7
    mlp_ratio: int = 4
    stage1_blocks: int = 2
    stage1_planes: int = 64
    stem_channels: int = 64
    position_bias: bool = False
    """Whether attention adds its table of relative positions: the official pose code has one and leaves it out (its
    numbers show it), mmpose's port adds it."""
    num_keypoints: int = 17
    drop_path: float = 0.0
    codec: Literal["msra", "dark", "udp"] = "msra"

    def __post_init__(self) -> None:
        check_choices(self)
        check_sizes(self, "image_size", "heatmap_size")
        check_whole(self, "blocks_per_branch", "window_size", "mlp_ratio", "stage1_blocks", "stage1_planes")
        check_whole(self, "stem_channels", "num_keypoints")
        check_whole_list(self, "widths", "num_heads", "modules")
        branches = len(self.modules) + 1
        for name in ("widths", "num_heads"):
            value = getattr(self, name)
            check(len(value) == branches, name, value, f"{branches} numbers: one more than modules has")
        for width, heads in zip(self.widths, self.num_heads, strict=True):
            check_heads(width, heads)
        check_share(self, "drop_path", below_one=True)
        # branches that do not halve evenly are resized where they meet
        check_quarter(self, step=4)


def entry(image: Size, **values: Any) -> Entry:
    sizes = {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4)}
    return Entry(HRFormerConfig, {**sizes, **values}, "sharpose.models.hrformer:HRFormer")


SMALL = {"widths": (32, 64, 128, 256), "num_heads": (1, 2, 4, 8), "modules": (1, 4, 2), "drop_path": 0.1}
BASE = {"widths": (78, 156, 312, 624), "num_heads": (2, 4, 8, 16), "modules": (1, 4, 2), "drop_path": 0.2}
# A narrow stand-in, at most as costly as sharpose-nano-128x96
NANO = {
    "widths": (18, 36, 72, 144),
    "num_heads": (1, 2, 4, 8),
    "modules": (1, 1, 1),
    "stage1_planes": 16,
    "stem_channels": 32,
}

MODELS: dict[str, Entry] = {
    "hrformer-small-256x192": entry((256, 192), **SMALL),
    "hrformer-small-384x288": entry((384, 288), **SMALL),
    "hrformer-base-256x192": entry((256, 192), **BASE),
    "hrformer-base-384x288": entry((384, 288), **BASE),
    "hrformer-nano-128x96": entry((128, 96), **NANO),
}
