"""PRTR's sizes, those of the public configurations (github.com/mlpc-ucsd/PRTR, two_stage/experiments/coco)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, Whole, Wholes, check, sized
from sharpose.models.hrnet.cost import trunk
from sharpose.models.layers.cnn_config import QUERY_NANO, QueryConfig, check_branches
from sharpose.models.layers.cost import (
    Cost,
    bottleneck,
    convolution,
    decoder_layer,
    encoder_layer,
    half,
    layer_norm,
    linear,
    mlp,
    pointwise,
)
from sharpose.models.simple_baseline.cost import resnet
from sharpose.models.system import System
from sharpose.runtime.fields import ShareBelowOne


@dataclass(frozen=True, kw_only=True)
class PRTRConfig(QueryConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    hidden_dim: Whole = 2048
    num_queries: Whole = 100
    dropout: ShareBelowOne = 0.0
    readout: Literal["hungarian", "best"] = "hungarian"
    """Which query stands for a keypoint: `hungarian`, as published, gives each query to one keypoint at most; with
    `best` every keypoint takes its likeliest query, which is a static graph."""
    widths: tuple[Whole, ...] = ()
    """Branches of an HRNet, all of which are merged; none: a ResNet."""
    modules: Wholes = (1, 4, 3)
    blocks_per_branch: Whole = 4
    stage1_blocks: Whole = 4
    stage1_planes: Whole = 64
    merge_planes: Whole = 32
    """Of the finest branch's Bottleneck before merging; every coarser one has twice as many."""
    merged_channels: Whole = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.embed_dim % 4 == 0, "embed_dim", self.embed_dim, "a multiple of 4, for the sine table")
        enough = self.num_queries >= self.num_keypoints
        check(enough, "num_queries", self.num_queries, f"at least num_keypoints = {self.num_keypoints}")
        self.check_quarter(step=check_branches(self, "modules", "widths") if self.widths else 32)

    @property
    def not_static(self) -> str | None:
        """Say that assigning each query to one keypoint is an algorithm, not a graph."""
        if self.readout == "best":
            return None
        return "readout: which query a keypoint gets depends on all others'; with readout=best each takes its likeliest"

    @property
    def grid(self) -> Size:
        """Return rows and columns of the map that the encoder works on."""
        stride = 2 ** (len(self.widths) + 1) if self.widths else 32
        return self.image_size[0] // stride, self.image_size[1] // stride


def cost(config: PRTRConfig) -> Cost:
    """Return the closed form: backbone, encoder, decoder, and the heads, which read out every layer of it."""
    before, channels = backbone(config)
    dim, queries, tokens = config.embed_dim, config.num_queries, math.prod(config.grid)
    projection = pointwise(channels, dim, config.grid) + Cost(params=(queries + tokens) * dim)
    encoder = encoder_layer(dim, config.hidden_dim, tokens) * config.encoder_depth
    decoder = decoder_layer(dim, config.hidden_dim, queries, tokens) * config.decoder_depth
    heads = layer_norm(dim, queries) + linear(dim, config.num_keypoints + 1, queries) + mlp([dim, dim, dim, 2], queries)
    # shared, so their parameters count once
    read_out = Cost(heads.macs * config.decoder_depth, heads.elements * config.decoder_depth, heads.params)
    return before + projection + encoder + decoder + read_out


def backbone(config: PRTRConfig) -> tuple[Cost, int]:
    """Count what comes before the transformer, with the channels of what it gives."""
    if not config.widths:
        return resnet(config.image_size, config.resnet_depth, config.stem_channels, config.resnet_channels)[:2]
    merged, size = trunk(config, every_branch=True), config.heatmap_size
    for index, width in enumerate(config.widths):
        planes = config.merge_planes * 2**index
        if index:
            size = half(size)
            merged += convolution(2 * planes, 4 * planes, 3, size, bias=True)
        merged += bottleneck(width, planes, size, size)
    return merged + convolution(4 * planes, config.merged_channels, 1, size, bias=True), config.merged_channels


W32 = {"widths": (32, 64, 128, 256)}
SIZES: dict[str, dict[str, Any]] = {
    "prtr-r50-384x288": sized((384, 288)),
    "prtr-r50-512x384": sized((512, 384)),
    "prtr-w32-384x288": sized((384, 288), **W32),
    "prtr-w32-512x384": sized((512, 384), **W32),
    # at the size of the other rows; not published
    "prtr-r50-256x192": sized((256, 192)),
    "prtr-w32-256x192": sized((256, 192), **W32),
    "prtr-nano-128x96": sized((128, 96), **QUERY_NANO, num_queries=34),
}

SYSTEM = System(
    name="PRTR",
    config=PRTRConfig,
    model="sharpose.models.prtr.model:PRTR",
    sizes=SIZES,
    cost=cost,
    criterion="sharpose.training.queries:SetCriterion",
    layouts="sharpose.models.prtr.layouts:LAYOUTS",
)
