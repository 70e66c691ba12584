"""Stacked Hourglass: down to a few pixels and up again, several times; the next stack starts from every heatmap.

Source: Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, and the authors' own
PyTorch code. The paper gives no sizes. HRNet's Tables 1 and 4 give 25.1 M parameters and 14.3 GFLOPs at 256x192 (19.1
at 256x256); this network, layer by layer that of the code, has 25.4 M and 20.7 (27.6): what they counted is not
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.cnn import heatmap_layer, init_convolution, init_heatmap_layer
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.stacked_hourglass.config import StackedHourglassConfig


@dataclass(frozen=True)
class StackedOutput(PoseOutput):
    """`heatmaps` of the last stack; `stack_heatmaps` of every one, for intermediate supervision."""

    stack_heatmaps: tuple[Float[Tensor, "B K h w"], ...]


class PreActivation(nn.Module):
    """Bottleneck with norm and ReLU before each convolution, to twice `planes`."""

    def __init__(self, inputs: int, planes: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, planes, kernel_size=1)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1)
        self.bn3 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 2 * planes, kernel_size=1)
        widens = inputs != 2 * planes
        self.downsample = nn.Sequential(nn.Conv2d(inputs, 2 * planes, kernel_size=1)) if widens else nn.Identity()

    def forward(self, maps: Float[Tensor, "B _ h w"]) -> Float[Tensor, "B _ h w"]:
        """Return the block's maps: norm and ReLU before each of three convolutions, added to what came in."""
        deep = self.conv1(F.relu(self.bn1(maps)))
        deep = self.conv2(F.relu(self.bn2(deep)))
        return self.conv3(F.relu(self.bn3(deep))) + self.downsample(maps)


def residual(inputs: int, planes: int) -> nn.Sequential:
    """Return one bottleneck; in a sequence of its own, for the public names."""
    return nn.Sequential(PreActivation(inputs, planes))


class Hourglass(nn.Module):
    """Down `depth` halvings and up again, with a residual across at every size."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__()
        # level 0 is the smallest; it alone has a residual at the bottom
        self.hg = nn.ModuleList(
            nn.ModuleList(residual(features, features // 2) for _ in range(4 if level == 0 else 3))
            for level in range(depth)
        )

    def forward(self, maps: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """Return maps of the same size that have seen all levels."""
        return self.at(len(self.hg) - 1, maps)

    def at(self, level: int, maps: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """Return the maps of a level (0: smallest): half as large through those below and back, added to its own."""
        layers = self.hg[level]
        assert isinstance(layers, nn.ModuleList)
        low = layers[1](F.max_pool2d(maps, 2))
        low = self.at(level - 1, low) if level else layers[3](low)
        return layers[0](maps) + F.interpolate(layers[2](low), scale_factor=2.0, mode="nearest")


class Stacks(nn.Module):
    """Hourglasses in a row, each with its own heatmaps that the next one starts from."""

    def __init__(self, count: int, features: int, depth: int, num_keypoints: int, continues: bool) -> None:
        super().__init__()
        # the very last stack has nothing to hand on
        handed_on = count if continues else count - 1
        self.hg = nn.ModuleList(Hourglass(features, depth) for _ in range(count))
        self.res = nn.ModuleList(residual(features, features // 2) for _ in range(count))
        self.fc = nn.ModuleList(
            nn.Sequential(nn.Conv2d(features, features, kernel_size=1), nn.BatchNorm2d(features), nn.ReLU())
            for _ in range(count)
        )
        self.score = nn.ModuleList(heatmap_layer(features, num_keypoints) for _ in range(count))
        self.fc_ = nn.ModuleList(nn.Conv2d(features, features, kernel_size=1) for _ in range(handed_on))
        self.score_ = nn.ModuleList(nn.Conv2d(num_keypoints, features, kernel_size=1) for _ in range(handed_on))

    def forward(self, maps: Float[Tensor, "B D h w"]) -> tuple[Float[Tensor, "B D h w"], list[Tensor]]:
        """Return what the next stack starts from, and the heatmaps (B, K, h, w) of every stack."""
        heatmaps: list[Tensor] = []
        for index, hourglass in enumerate(self.hg):
            features = self.fc[index](self.res[index](hourglass(maps)))
            heatmaps.append(self.score[index](features))
            if index < len(self.fc_):
                maps = maps + self.fc_[index](features) + self.score_[index](heatmaps[-1])
        return maps, heatmaps


class HourglassModel(PoseModel):
    """What comes before the first stack, under the public names; a base of other systems, too."""

    def __init__(self, config: StackedHourglassConfig) -> None:
        super().__init__(config)
        width, middle = config.features, config.stem_planes
        self.conv1 = nn.Conv2d(3, width // 4, kernel_size=7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.layer1 = residual(width // 4, width // 4)
        self.layer2 = residual(width // 2, middle)
        self.layer3 = residual(2 * middle, width // 2)

    def init_weights(self) -> None:
        """Initialise as He does, by normal distributions; heatmaps start near zero."""
        self.apply(init_convolution)
        for layer in self.heatmap_layers:
            init_heatmap_layer(layer)  # type: ignore[arg-type]

    def stem(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Return features at a quarter of the size."""
        first = self.layer1(F.relu(self.bn1(self.conv1(images))))
        return self.layer3(self.layer2(F.max_pool2d(first, 2)))


class StackedHourglass(HourglassModel):
    """Normalised images (B, 3, H, W) to `StackedOutput`, maps at a quarter of the size."""

    def __init__(self, config: StackedHourglassConfig) -> None:
        super().__init__(config)
        self.stacks = Stacks(config.stacks, config.features, config.depth, config.num_keypoints, continues=False)
        self.init_weights()

    @property
    def heatmap_layers(self) -> Sequence[nn.Conv2d]:
        """Return the layer of every stack that gives heatmaps."""
        return list(self.stacks.score)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> StackedOutput:
        """Return the heatmaps of the last stack, and those of all."""
        _, heatmaps = self.stacks(self.stem(images))
        return StackedOutput(heatmaps[-1], tuple(heatmaps))
