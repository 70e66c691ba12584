"""TFPose's sizes: ResNet-50, six layers each way, as the paper has them; what it leaves open is Deformable DETR's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, Whole, check, check_heads, sized
from sharpose.models.layers.cnn_config import CnnConfig
from sharpose.models.simple_baseline.config import ResNetDepth
from sharpose.models.system import System
from sharpose.runtime.fields import Positive, ShareBelowOne

GROUPS = 32
STRIDES = (4, 8, 16, 32)
"""Of the maps behind the stages of a ResNet."""


@dataclass(frozen=True, kw_only=True)
class TFPoseConfig(CnnConfig):
    """Sizes are (height, width) in pixels.

    Maps of its output are drawn around its points, so `heatmap_size` and `drawn_sigma`, in heatmap pixels, change no
    result. Raises InputError naming the field that is out of range.
    """

    embed_dim: Whole = 256
    hidden_dim: Whole = 1024
    num_heads: Whole = 8
    encoder_depth: Whole = 6
    decoder_depth: Whole = 6
    levels: Whole = 3
    """Maps that attention reads, the coarsest of the ResNet's."""
    points: Whole = 4
    """Places that a head reads of each."""
    dropout: ShareBelowOne = 0.1
    stem_channels: Whole = 64
    resnet_depth: ResNetDepth = 50
    resnet_channels: Whole = 64
    drawn_sigma: Positive = 2.0
    codec: Literal["drawn"] = "drawn"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.embed_dim, self.num_heads)
        check(self.embed_dim % GROUPS == 0, "embed_dim", self.embed_dim, f"a multiple of {GROUPS}")
        check(self.levels <= len(STRIDES), "levels", self.levels, f"at most {len(STRIDES)}")
        self.check_quarter(step=32)

    @property
    def level_sizes(self) -> list[Size]:
        """Rows and columns of every map, finest first."""
        height, width = self.image_size
        return [(height // stride, width // stride) for stride in STRIDES[-self.levels :]]


# a small stand-in, at most as costly as sharpose-nano-128x96
NANO = {
    "embed_dim": 96,
    "hidden_dim": 192,
    "num_heads": 6,
    "encoder_depth": 2,
    "decoder_depth": 3,
    "dropout": 0.0,
    "resnet_depth": 18,
    "stem_channels": 24,
    "resnet_channels": 24,
}

SIZES: dict[str, dict[str, Any]] = {
    "tfpose-r50-256x192": sized((256, 192)),
    "tfpose-r50-384x288": sized((384, 288)),
    "tfpose-nano-128x96": sized((128, 96), **NANO),
}

SYSTEM = System(
    name="TFPose",
    config=TFPoseConfig,
    model="sharpose.models.tfpose.model:TFPose",
    sizes=SIZES,
    cost="sharpose.models.tfpose.cost:tfpose",
    objective="sharpose.training.queries:RefinedObjective",
    layouts="sharpose.models.tfpose.layouts:LAYOUTS",
)
