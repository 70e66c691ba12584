"""OKDHP: stacked hourglasses, and several branches of them that teach each other while they train.

A trained model is one branch. Public weights read pictures as BGR, all others here as RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.okdhp.config import OkdhpConfig
from sharpose.models.stacked_hourglass.model import HourglassModel, StackedOutput, Stacks


@dataclass(frozen=True)
class OkdhpOutput(StackedOutput):
    """`heatmaps` of the last stack, or of the branches' ensemble; every stack's own for intermediate supervision.

    `stack_heatmaps` holds the shared stacks first, then each branch's; `branch_heatmaps` the last of every branch.
    """

    branch_heatmaps: tuple[Float[Tensor, "B K h w"], ...]


class BranchWeights(nn.Module):
    """How much each branch counts per keypoint, from the stem's features at three ranges (feature aggregation unit)."""

    def __init__(self, features: int, hidden: int, branches: int, num_keypoints: int) -> None:
        super().__init__()
        self.ranges = nn.ModuleList(
            nn.Sequential(nn.Conv2d(features, features, size, padding=size // 2), nn.BatchNorm2d(features), nn.ReLU())
            for size in (3, 5, 7)
        )
        self.squeeze = nn.Linear(features, hidden)
        self.branches = nn.ModuleList(nn.Linear(hidden, num_keypoints) for _ in range(branches))

    def forward(self, maps: Float[Tensor, "B D h w"]) -> Float[Tensor, "branches B K"]:
        """Return the weight of each branch per person and keypoint; they sum to 1 over the branches."""
        pooled = sum(layer(maps) for layer in self.ranges).mean(dim=(2, 3))
        squeezed = self.squeeze(pooled)
        return torch.stack([layer(squeezed) for layer in self.branches]).softmax(dim=0)


class Okdhp(HourglassModel):
    """Stacked hourglass: normalised images (B, 3, H, W) to `OkdhpOutput`, maps at a quarter of the size.

    With more than one branch the last two stacks are each branch's own, and `heatmaps` are the weighted ensemble.
    """

    def __init__(self, config: OkdhpConfig) -> None:
        super().__init__(config)
        width, keypoints = config.features, config.num_keypoints
        own = config.branch_stacks
        self.shared = Stacks(config.stacks - own, width, config.depth, keypoints, continues=own > 0)
        self.branches = nn.ModuleList(
            Stacks(own, width, config.depth, keypoints, continues=False)
            for _ in range(config.branches if config.branches > 1 else 0)
        )
        self.branch_weights = (
            BranchWeights(width, config.ensemble_hidden, config.branches, keypoints) if self.branches else None
        )
        self.init_weights()

    @property
    def heatmap_layers(self) -> list[nn.Conv2d]:
        """Return the 1x1 convolutions that give the heatmaps of every stack of every branch."""
        return [layer for stacks in (self.shared, *self.branches) for layer in stacks.score]

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> OkdhpOutput:
        """Return the heatmaps of the last stack or the ensemble, those of every stack, and each branch's last ones."""
        stem = self.stem(images)
        maps, heatmaps = self.shared(stem)
        if self.branch_weights is None:
            return OkdhpOutput(heatmaps[-1], tuple(heatmaps), (heatmaps[-1],))
        per_branch = [branch(maps)[1] for branch in self.branches]
        last = torch.stack([own[-1] for own in per_branch])
        ensemble = (self.branch_weights(stem)[..., None, None] * last).sum(dim=0)
        return OkdhpOutput(ensemble, tuple(heatmaps + [one for own in per_branch for one in own]), tuple(last))
