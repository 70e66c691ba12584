"""Stacked Hourglass: down to a few pixels and up again, several times; the next stack starts from every heatmap.

Source: Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016, and the authors' own
PyTorch code. The paper gives no sizes. HRNet's Tables 1 and 4 give 25.1 M parameters and 14.3 GFLOPs at 256x192 (19.1
at 256x256); this network, layer by layer that of the code, has 25.4 M and 20.7 (27.6): what they counted is not
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.hourglass import HourglassModel, Stacks
from sharpose.models.output import PoseOutput
from sharpose.models.stacked_hourglass.config import StackedHourglassConfig


@dataclass(frozen=True)
class StackedOutput(PoseOutput):
    """`heatmaps` of the last stack; `stack_heatmaps` of every one, for intermediate supervision."""

    stack_heatmaps: tuple[Float[Tensor, "B K h w"], ...]


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
