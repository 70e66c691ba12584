"""SimpleBaseline: a ResNet, three transposed convolutions, heatmaps."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.cnn import (
    BasicBlock,
    Bottleneck,
    convolution,
    doubling,
    heatmap_layer,
    init_convolution,
    init_heatmap_layer,
    make_layer,
)
from sharpose.models.layers.cnn_config import RESNETS
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.simple_baseline.config import SimpleBaselineConfig

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """Features of torchvision's ResNet (stride in the 3x3 convolution), with its names.

    Those of all four stages are at 1/32 of the size, of the first two at 1/8.
    """

    def __init__(self, depth: int, stem_channels: int, base_channels: int, stages: int = 4) -> None:
        super().__init__()
        kind, counts = RESNETS[depth]
        self.num_stages = stages
        block = BLOCKS[kind]
        self.conv1 = convolution(3, stem_channels, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        inputs = stem_channels
        for stage, count in enumerate(counts[:stages]):
            planes = base_channels * 2**stage
            self.add_module(
                f"layer{stage + 1}", make_layer(block, inputs, planes, count, stride=1 if stage == 0 else 2)
            )
            inputs = block.expansion * planes
        self.num_features = inputs

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Return the last stage's features: with four stages, at 1/32 of the images' size."""
        return self.pyramid(images)[-1]

    def pyramid(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Return the maps (B, C, h, w) behind every stage, finest first."""
        maps = [F.max_pool2d(F.relu(self.bn1(self.conv1(images))), kernel_size=3, stride=2, padding=1)]
        for stage in range(1, self.num_stages + 1):
            maps.append(self.get_submodule(f"layer{stage}")(maps[-1]))
        return maps[1:]


class SimpleBaseline(PoseModel):
    """Normalised images (B, 3, H, W) to heatmaps of a quarter of the size. The paper's rows are ResNet-152."""

    def __init__(self, config: SimpleBaselineConfig) -> None:
        super().__init__(config)
        self.backbone = ResNet(config.resnet_depth, config.stem_channels, config.base_channels)
        widths = [self.backbone.num_features, *config.deconv_filters]
        layers = [layer for inputs, outputs in pairwise(widths) for layer in doubling(inputs, outputs)]
        self.deconv_layers = nn.Sequential(*layers)
        self.head = heatmap_layer(widths[-1], config.num_keypoints)
        self.apply(init_convolution)
        init_heatmap_layer(self.head)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> PoseOutput:
        """Return the heatmaps of normalised images."""
        return PoseOutput(heatmaps=self.head(self.deconv_layers(self.backbone(images))))
