"""HRNet: branches of several resolutions side by side that exchange features, the finest of which gives the heatmaps.

The trunk is shared: HRFormer fills it with other blocks, and TokenPose-L stops it after its third stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.cnn import (
    BasicBlock,
    Bottleneck,
    convolution,
    heatmap_layer,
    init_convolution,
    init_heatmap_layer,
    make_layer,
)
from sharpose.models.output import PoseModel, PoseOutput


class ParallelModule(nn.Module):
    """One network per branch, then every output resolution sums all branches brought to its size.

    `up` makes the layers from a coarser branch (inputs, outputs, factor), `down` one halving (inputs, outputs, last).
    """

    def __init__(
        self,
        branches: Sequence[nn.Module],
        widths: Sequence[int],
        outputs: int,
        up: Callable[[int, int, int], nn.Module],
        down: Callable[[int, int, bool], nn.Module],
    ) -> None:
        super().__init__()

        def connection(source: int, target: int) -> nn.Module:
            if source == target:
                return nn.Identity()
            if source > target:
                return up(widths[source], widths[target], 2 ** (source - target))
            steps = [down(widths[source], widths[source], False) for _ in range(target - source - 1)]
            return nn.Sequential(*steps, down(widths[source], widths[target], True))

        self.branches = nn.ModuleList(branches)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(connection(source, target) for source in range(len(widths))) for target in range(outputs)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return maps of as many resolutions as there are outputs, finest first: branches alone, then the exchange.

        Maps are (B, C, h, w), each with sizes of its own.
        """
        maps = [branch(one) for branch, one in zip(self.branches, maps, strict=True)]
        return [self.fuse(target, maps) for target in range(len(self.fuse_layers))]

    def fuse(self, target: int, maps: list[Tensor]) -> Float[Tensor, "B C h w"]:
        """Return the sum of all branches at the size of branch `target`. Maps are (B, C, h, w), of several sizes."""
        like = maps[target]
        layers = self.fuse_layers[target].children()
        parts = [layer(one) for layer, one in zip(layers, maps, strict=True)]
        # a side that is not a multiple of 32 was rounded up on its way down
        fitted = [part if part.shape[2:] == like.shape[2:] else resize(part, like) for part in parts]
        return F.relu(sum(fitted[1:], start=fitted[0]))


def resize(maps: Float[Tensor, "B C _ _"], like: Float[Tensor, "B _ h w"]) -> Float[Tensor, "B C h w"]:
    """Resize bilinearly to the size of `like`."""
    return F.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)


class HighResolutionTrunk(nn.Module):
    """Stem, one stage of Bottlenecks, then stages of 2, 3, ... branches: images to the finest branch at a quarter size.

    Parameter names are those of the public HRNet. `config` has HRNet's fields.
    """

    def __init__(self, config: Any, every_branch: bool = False) -> None:
        super().__init__()
        self.config = config
        self.conv1 = convolution(3, config.stem_channels, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(config.stem_channels)
        self.conv2 = convolution(config.stem_channels, config.stem_channels, 3, stride=2)
        self.bn2 = nn.BatchNorm2d(config.stem_channels)
        self.layer1 = make_layer(Bottleneck, config.stem_channels, config.stage1_planes, config.stage1_blocks)
        self.stages = range(2, 2 + len(config.modules))
        previous: Sequence[int] = [Bottleneck.expansion * config.stage1_planes]
        for stage, count in zip(self.stages, config.modules, strict=True):
            current = config.widths[:stage]
            # only the finest branch leaves the last module, unless all are wanted
            last = stage == self.stages[-1] and not every_branch
            outputs = [1 if last and index == count - 1 else stage for index in range(count)]
            self.add_module(f"transition{stage - 1}", transition(previous, current))
            made = [self.make_module(stage, index, current, number) for index, number in enumerate(outputs)]
            self.add_module(f"stage{stage}", nn.Sequential(*made))
            previous = current

    def make_module(self, stage: int, index: int, widths: Sequence[int], outputs: int) -> ParallelModule:
        """Make HRNet's own: BasicBlocks per branch, nearest upsampling, halvings by 3x3 convolutions."""
        branches = [make_layer(BasicBlock, width, width, self.config.blocks_per_branch) for width in widths]
        return ParallelModule(branches, widths, outputs, up, down)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Return the finest branch's features, at a quarter of the images' size."""
        return self.branches(images)[0]

    def branches(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Return the maps (B, C, h, w) that leave the last stage, finest first: one, or with `every_branch` all."""
        stem = F.relu(self.bn1(self.conv1(images)))
        stem = F.relu(self.bn2(self.conv2(stem)))
        maps = [self.layer1(stem)]
        for stage in self.stages:
            layers = self.get_submodule(f"transition{stage - 1}").children()
            # a new branch starts from the coarsest one there is
            sources = [*maps, maps[-1]]
            maps = [layer(source) for layer, source in zip(layers, sources, strict=True)]
            maps = self.get_submodule(f"stage{stage}")(maps)
        return maps


def transition(previous: Sequence[int], current: Sequence[int]) -> nn.ModuleList:
    """Return layers from the branches of one stage to those of the next, which has one more."""
    layers: list[nn.Module] = [
        nn.Identity() if before == after else nn.Sequential(*conv_norm_relu(before, after))
        for before, after in zip(previous, current, strict=False)
    ]
    # nested, for the public names
    new = nn.Sequential(nn.Sequential(*conv_norm_relu(previous[-1], current[-1], stride=2)))
    return nn.ModuleList([*layers, new])


def conv_norm_relu(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """Return a 3x3 convolution without bias, BatchNorm and ReLU."""
    return [convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU()]


def up(inputs: int, outputs: int, factor: int) -> nn.Module:
    """Make the layers from a coarser branch, each value copied."""
    resize = nn.Upsample(scale_factor=factor, mode="nearest")
    return nn.Sequential(convolution(inputs, outputs, 1), nn.BatchNorm2d(outputs), resize)


def down(inputs: int, outputs: int, last: bool) -> nn.Module:
    """Make the layers to half the size."""
    layers = conv_norm_relu(inputs, outputs, stride=2)
    return nn.Sequential(*(layers[:-1] if last else layers))


class HRNet(PoseModel):
    """HRNet for poses: normalised images (B, 3, H, W) to heatmaps of a quarter of the size, by a 1x1 convolution."""

    trunk = HighResolutionTrunk

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.backbone = self.trunk(config)
        self.head = heatmap_layer(config.widths[0], config.num_keypoints)
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as He does, by normal distributions; heatmaps start near zero."""
        self.apply(init_convolution)
        init_heatmap_layer(self.head)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> PoseOutput:
        """Return the heatmaps of normalised images."""
        return PoseOutput(heatmaps=self.head(self.backbone(images)))
