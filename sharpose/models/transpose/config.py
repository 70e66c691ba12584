"""TransPose's sizes, those of its public configurations (github.com/yangsenius/TransPose, experiments/coco)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Size, Whole, sized
from sharpose.models.hrnet.config import StemConfig
from sharpose.models.hrnet.cost import trunk
from sharpose.models.layers.cnn_config import ResNetDepth
from sharpose.models.layers.cost import Cost, convolution, doubling, encoder_layer, pointwise
from sharpose.models.simple_baseline.cost import resnet
from sharpose.models.system import System
from sharpose.runtime.fields import ShareBelowOne


@dataclass(frozen=True, kw_only=True)
class TransPoseConfig(StemConfig):
    """Sizes are (height, width) in pixels; instead of a stem of HRNet's (H) there may be half of a ResNet (R)."""

    hidden_dim: Whole
    """Of the layers' MLPs."""
    num_heads: Whole = 1
    dropout: ShareBelowOne = 0.1
    resnet_depth: ResNetDepth = 50
    resnet_channels: Whole = 64
    """Planes of the ResNet's first stage."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_quarter(step=self.stem_stride() if self.stem_widths else 8)

    @property
    def grid(self) -> Size:
        """Return rows and columns of tokens: those of the heatmaps behind an HRNet, half as many behind a ResNet."""
        factor = 1 if self.stem_widths else 2
        return self.heatmap_size[0] // factor, self.heatmap_size[1] // factor


def tokens_per_block(config: TransPoseConfig) -> list[int]:
    """Return tokens that each layer works on."""
    return [math.prod(config.grid)] * config.depth


def cost(config: TransPoseConfig) -> Cost:
    """Return the closed form: stem, a 1x1 convolution to the width of the layers, these, a doubling, head."""
    dim, size, tokens = config.embed_dim, config.grid, math.prod(config.grid)
    before, channels = stem_cost(config)
    encoder = convolution(channels, dim, 1, size, norm=False) + Cost(params=tokens * dim)
    encoder += encoder_layer(dim, config.hidden_dim, tokens) * config.depth
    doubled = Cost() if config.stem_widths else doubling(dim, dim, size)
    return before + encoder + doubled + pointwise(dim, config.num_keypoints, config.heatmap_size)


def stem_cost(config: TransPoseConfig) -> tuple[Cost, int]:
    """Count what comes before the layers, with the channels of what it gives."""
    if config.stem_widths:
        return trunk(config.stem), config.stem_widths[0]
    return resnet(config.image_size, config.resnet_depth, config.stem_channels, config.resnet_channels, stages=2)[:2]


R = {"embed_dim": 256, "hidden_dim": 1024, "num_heads": 8}
W32 = {"embed_dim": 64, "hidden_dim": 128, "stem_widths": (32, 64, 128)}
W48 = {"embed_dim": 96, "hidden_dim": 192, "stem_widths": (48, 96, 192)}
# small stand-ins, at most as costly as sharpose-nano-128x96
NANO_R = {"embed_dim": 96, "hidden_dim": 192, "num_heads": 6, "resnet_depth": 18}
NANO_H = {
    "embed_dim": 24,
    "hidden_dim": 48,
    "stem_widths": (16, 32, 64),
    "stem_modules": (1, 1),
    "stem_blocks_per_branch": 2,
    "stem_stage1_blocks": 2,
    "stem_stage1_planes": 16,
    "stem_channels": 32,
}

SIZES: dict[str, dict[str, Any]] = {
    "transpose-r-a3-256x192": sized((256, 192), depth=3, **R),
    "transpose-r-a4-256x192": sized((256, 192), depth=4, **R),
    "transpose-h-s-256x192": sized((256, 192), depth=4, **W32),
    "transpose-h-a4-256x192": sized((256, 192), depth=4, **W48),
    "transpose-h-a6-256x192": sized((256, 192), depth=6, **W48),
    "transpose-r-nano-128x96": sized((128, 96), depth=4, dropout=0.0, stem_channels=24, resnet_channels=24, **NANO_R),
    "transpose-h-nano-128x96": sized((128, 96), depth=2, dropout=0.0, **NANO_H),
}

SYSTEM = System(
    name="TransPose",
    config=TransPoseConfig,
    model="sharpose.models.transpose.model:TransPose",
    sizes=SIZES,
    cost=cost,
    tokens_per_block=tokens_per_block,
    layouts="sharpose.models.transpose.layouts:LAYOUTS",
)
