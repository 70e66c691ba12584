"""Criteria of systems with keypoint queries: points behind every decoder layer, with or without a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpose.models.layers.tokens import gather_tokens
from sharpose.models.prtr.matching import assign, matching_costs
from sharpose.pose.normalise import normalise
from sharpose.training.criterion import HeatmapCriterion, coordinate_targets
from sharpose.training.step_plan import StepPlan

# PRTR's, DETR's: of the points beside the classes, and of "none" among the classes
POINT_WEIGHT, NONE_WEIGHT = 5.0, 0.1


class SetCriterion(HeatmapCriterion):
    """PRTR's: in every layer, the queries that keypoints are assigned to learn class and place, all others "none".

    Keypoints that are not labelled, or outside of the crop, get no query, and nothing is learnt of them; in the public
    code they are assigned one all the same.
    """

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        wanted, weights = coordinate_targets(self.codec, batch)
        output = self.predict(normalise(batch["image"]), plan)
        pairs = zip(output.query_logits, output.query_points, strict=True)
        losses = [set_losses(logits, points, wanted, weights) for logits, points in pairs]
        return {name: sum((one[name] for one in losses[1:]), start=losses[0][name]) for name in ("classes", "points")}


def set_losses(logits: Tensor, points: Tensor, wanted: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Return the cross-entropy over all queries, and weighted L1 distance of the assigned ones, per image.

    logits (B, Q, K + 1), points (B, Q, 2), wanted (B, K, 2), weights (B, K); points as fractions of the crop.
    """
    with torch.no_grad():
        costs = matching_costs(logits, points, wanted, POINT_WEIGHT)
        # whoever is not labelled takes what is left
        queries = assign(costs.masked_fill((weights == 0)[..., None], 0.0))
    none = logits.shape[2] - 1
    classes = torch.full(logits.shape[:2], none, device=logits.device)
    numbers = torch.arange(wanted.shape[1], device=logits.device).expand(len(wanted), -1)
    classes = classes.scatter(1, queries, torch.where(weights > 0, numbers, none))
    rarity = logits.new_ones(none + 1)
    rarity[none] = NONE_WEIGHT
    distance = (gather_tokens(points, queries) - wanted).abs().sum(dim=2)
    return {
        "classes": F.cross_entropy(logits.transpose(1, 2), classes, rarity),
        "points": POINT_WEIGHT * (distance * weights).sum() / len(points) / 2,
    }


class RefinedCriterion(HeatmapCriterion):
    """TFPose's: the L1 distance of every layer's coordinates, in a fixed order of keypoints."""

    def forward(self, batch: Mapping[str, Tensor], plan: StepPlan) -> dict[str, Tensor]:
        """Return each loss by name; their sum is what is minimised. Images are uint8 crops."""
        wanted, weights = coordinate_targets(self.codec, batch)
        output: Any = self.predict(normalise(batch["image"]), plan)
        errors = (output.layer_coordinates - wanted).abs().sum(dim=-1) * weights
        return {"coordinates": errors.mean(dim=(1, 2)).sum()}
