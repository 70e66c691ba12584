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

from sharpose.models.layers.cnn import init_convolution, init_heatmap_layer
from sharpose.models.layers.hourglass import Stacks, residual
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.stacked_hourglass.config import StackedHourglassConfig


@dataclass(frozen=True)
class StackedOutput(PoseOutput):
    """`heatmaps` of the last stack; `stack_heatmaps` of every one, for intermediate supervision."""

    stack_heatmaps: tuple[Float[Tensor, "B K h w"], ...]


class StackedHourglass(PoseModel):
    """Normalised images (B, 3, H, W) to `StackedOutput`, maps at a quarter of the size."""

    def __init__(self, config: StackedHourglassConfig) -> None:
        super().__init__()
        self.config = config
        width = config.features
        self.conv1 = nn.Conv2d(3, width // 4, kernel_size=7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.layer1 = residual(width // 4, width // 4)
        self.layer2 = residual(width // 2, width // 4)
        self.layer3 = residual(width // 2, width // 2)
        self.stacks = Stacks(config.stacks, width, config.depth, config.num_keypoints, continues=False)
        self.apply(init_convolution)
        for layer in self.heatmap_layers:
            init_heatmap_layer(layer)

    @property
    def heatmap_layers(self) -> Sequence[nn.Conv2d]:
        """Return the layer of every stack that gives heatmaps."""
        return list(self.stacks.score)  # type: ignore[arg-type]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> StackedOutput:
        """Return the heatmaps of the last stack, and those of all."""
        stem = self.layer1(F.relu(self.bn1(self.conv1(images))))
        stem = self.layer3(self.layer2(F.max_pool2d(stem, 2)))
        _, heatmaps = self.stacks(stem)
        return StackedOutput(heatmaps[-1], tuple(heatmaps))
