"""Criteria of stacked hourglasses: heatmaps of every stack and, for OKDHP, distillation of the branches' ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.codecs.choice import HeatmapCodec
from sharpose.models.okdhp.model import Okdhp
from sharpose.models.output import PoseModel
from sharpose.pose.normalise import normalise
from sharpose.training.losses import encode_targets, joint_mse
from sharpose.training.recipe import Recipe
from sharpose.training.step_plan import StepPlan

DISTILLATION_WEIGHT = 2.0


class StackedCriterion(nn.Module):
    """Squared errors of every stack's heatmaps."""

    def __init__(self, model: PoseModel, codec: HeatmapCodec, sigmas: Sequence[float], recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.codec = codec
        self.epochs = recipe.epochs

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        targets, weights = encode_targets(self.codec, batch)
        output = self.model(normalise(batch["image"]))
        errors = [joint_mse(heatmaps, targets, weights) for heatmaps in output.stack_heatmaps]
        return {"stacks": sum(errors[1:], start=errors[0]), **self.extra_losses(output, targets, weights, plan)}

    def extra_losses(self, output: Any, targets: Tensor, weights: Tensor, plan: StepPlan) -> dict[str, Tensor]:
        """Return what the system learns beside its stacks, of targets (B, K, h, w) and weights (B, K)."""
        return {}


class OkdhpCriterion(StackedCriterion):
    """Adds the squared error of the branches' ensemble, and its distillation into every branch."""

    model: Okdhp

    def extra_losses(self, output: Any, targets: Tensor, weights: Tensor, plan: StepPlan) -> dict[str, Tensor]:
        """Return the losses of several branches and of their mean; targets (B, K, h, w), weights (B, K)."""
        if self.model.config.branches == 1:
            return {}
        distances = [map_divergence(heatmaps, output.heatmaps) for heatmaps in output.branch_heatmaps]
        weight = DISTILLATION_WEIGHT * ramp_up(plan.epoch / self.epochs)
        return {
            "ensemble": joint_mse(output.heatmaps, targets, weights),
            "distillation": weight * sum(distances[1:], start=distances[0]),
        }


def ramp_up(progress: float) -> float:
    """Return a factor from nearly 0 at the start of training to 1 at its end."""
    return math.exp(-5 * (1 - min(1.0, progress)) ** 2)


def map_divergence(heatmaps: Float[Tensor, "B K h w"], teacher: Float[Tensor, "B K h w"]) -> Float[Tensor, ""]:
    """Return the KL divergence of maps from the teacher's, each as a distribution over pixels; per image and pixel."""
    student, wanted = (maps.flatten(2).log_softmax(dim=2) for maps in (heatmaps, teacher))
    divergence = F.kl_div(student, wanted, reduction="sum", log_target=True)
    return divergence / (len(heatmaps) * heatmaps.shape[2] * heatmaps.shape[3])
