"""TFPose's sizes: ResNet-50, six layers each way, as the paper has them; what it leaves open is Deformable DETR's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Size, Whole, check, sized
from sharpose.models.layers.cnn_config import QUERY_NANO, QueryConfig
from sharpose.models.layers.cost import Cost, attention, deformable, layer_norm, linear, mlp, pointwise
from sharpose.models.layout import TORCHVISION, Layout
from sharpose.models.simple_baseline.cost import resnet
from sharpose.models.system import System
from sharpose.runtime.fields import ShareBelowOne

GROUPS = 32
STRIDES = (4, 8, 16, 32)
"""Of the maps behind the stages of a ResNet."""


@dataclass(frozen=True, kw_only=True)
class TFPoseConfig(QueryConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    hidden_dim: Whole = 1024
    levels: Whole = 3
    """Maps that attention reads, the coarsest of the ResNet's."""
    points: Whole = 4
    """Places that a head reads of each."""
    dropout: ShareBelowOne = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.embed_dim % GROUPS == 0, "embed_dim", self.embed_dim, f"a multiple of {GROUPS}")
        check(self.levels <= len(STRIDES), "levels", self.levels, f"at most {len(STRIDES)}")
        self.check_quarter(step=32)

    @property
    def level_sizes(self) -> list[Size]:
        """Return rows and columns of every map, finest first."""
        height, width = self.image_size
        return [(height // stride, width // stride) for stride in STRIDES[-self.levels :]]


def cost(config: TFPoseConfig) -> Cost:
    """Return the closed form: ResNet, its maps at one width, encoder and decoder, and a head for each layer of it."""
    dim, keypoints, sizes = config.embed_dim, config.num_keypoints, config.level_sizes
    tokens, samples = sum(map(math.prod, sizes)), config.levels * config.points
    read = {"memory": tokens, "samples": samples, "num_heads": config.num_heads}
    whole, coarsest, _ = resnet(config.image_size, config.resnet_depth, config.stem_channels, config.resnet_channels)
    for halvings, size in enumerate(reversed(sizes)):
        whole += pointwise(coarsest >> halvings, dim, size) + layer_norm(dim, math.prod(size))
    whole += Cost(params=(tokens + config.levels + 2 * keypoints) * dim) + linear(dim, 2, keypoints)
    encoder = deformable(dim, tokens, **read) + second_half(config, tokens) + layer_norm(dim, tokens)
    decoder = attention(dim, keypoints, keypoints) + deformable(dim, keypoints, **read)
    decoder += second_half(config, keypoints) + layer_norm(dim, keypoints) * 2
    head = mlp([dim, dim, dim, 2], keypoints)
    return whole + encoder * config.encoder_depth + (decoder + head) * config.decoder_depth


def second_half(config: TFPoseConfig, tokens: int) -> Cost:
    """Return the cost of a layer's MLP and the norm behind it."""
    return mlp([config.embed_dim, config.hidden_dim, config.embed_dim], tokens) + layer_norm(config.embed_dim, tokens)


SIZES: dict[str, dict[str, Any]] = {
    "tfpose-r50-256x192": sized((256, 192)),
    "tfpose-r50-384x288": sized((384, 288)),
    "tfpose-nano-128x96": sized((128, 96), **QUERY_NANO, dropout=0.0),
}

# its own weights are not public
UNTRAINED = ("input_proj.*", "pos_embed", "level_embed", "encoder.*", "decoder.*", "keypoint_*", "start.*", "heads.*")

SYSTEM = System(
    name="TFPose",
    config=TFPoseConfig,
    model="sharpose.models.tfpose.model:TFPose",
    sizes=SIZES,
    cost=cost,
    criterion="sharpose.training.queries:RefinedCriterion",
    layouts=(Layout("torchvision", TORCHVISION, untrained=UNTRAINED),),
)
