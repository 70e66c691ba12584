"""HRNet's sizes. The same network appears with three codecs: plain (as published), DARK and UDP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.configs.base import (
    Entry,
    Size,
    check,
    check_choices,
    check_quarter,
    check_sizes,
    check_whole,
    check_whole_list,
)


@dataclass(frozen=True)
class HRNetConfig:
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4.

    Raises InputError naming the field that is out of range.
    """

    image_size: Size
    heatmap_size: Size
    widths: tuple[int, ...]
    """Channels of the branches, finest first."""
    modules: tuple[int, ...] = (1, 4, 3)
    blocks_per_branch: int = 4
    stage1_blocks: int = 4
    stage1_planes: int = 64
    stem_channels: int = 64
    num_keypoints: int = 17
    codec: Literal["msra", "dark", "udp"] = "msra"

    def __post_init__(self) -> None:
        check_choices(self)
        check_sizes(self, "image_size", "heatmap_size")
        check_whole(self, "blocks_per_branch", "stage1_blocks", "stage1_planes", "stem_channels", "num_keypoints")
        check_whole_list(self, "widths", "modules")
        branches = len(self.modules) + 1
        check(len(self.widths) == branches, "widths", self.widths, f"{branches} numbers: one more than modules has")
        check_quarter(self, step=2 ** (branches + 1))


def entry(image: Size, widths: tuple[int, ...], **values: Any) -> Entry:
    sizes = {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4), "widths": widths}
    return Entry(HRNetConfig, {**sizes, **values}, "sharpose.models.hrnet:HRNet")


W32, W48 = (32, 64, 128, 256), (48, 96, 192, 384)

# A narrow stand-in, at most as costly as sharpose-nano-128x96
NANO = {"modules": (1, 2, 1), "blocks_per_branch": 2, "stage1_blocks": 2, "stage1_planes": 16, "stem_channels": 32}

# 256x256 is MPII's size, with its 16 keypoints
MODELS: dict[str, Entry] = {
    "hrnet-w32-256x192": entry((256, 192), W32),
    "hrnet-w48-256x192": entry((256, 192), W48),
    "hrnet-w48-384x288": entry((384, 288), W48),
    "hrnet-w48-256x256": entry((256, 256), W48, num_keypoints=16),
    "hrnet-nano-128x96": entry((128, 96), (16, 32, 64, 128), **NANO),
    "hrnet-nano-128x128-mpii": entry((128, 128), (16, 32, 64, 128), **NANO, num_keypoints=16),
}
