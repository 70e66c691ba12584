"""Which query stands for which keypoint: the assignment of least cost, each query to one keypoint at most."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@torch.library.custom_op("sharpose::assign", mutates_args=(), schema="(Tensor costs) -> Tensor")
def assign(costs: Tensor) -> Tensor:
    """Return the query of every keypoint, (B, K), so that `costs` (B, K, Q) add up to the least; no query twice.

    An operator of its own, as counters and tracers cannot look into scipy. No gradient goes through it.
    """
    found = [linear_sum_assignment(own)[1] for own in costs.detach().float().cpu().numpy()]
    rows = np.stack(found) if found else np.zeros(costs.shape[:2], dtype=np.int64)
    return torch.from_numpy(rows.astype(np.int64)).to(costs.device)


@assign.register_fake
def assign_shape(costs: Tensor) -> Tensor:
    """Return what `assign` gives, (B, K), without values, for tracers."""
    return costs.new_empty(costs.shape[:2], dtype=torch.int64)


def matching_costs(
    logits: Float[Tensor, "B Q classes"],
    points: Float[Tensor, "B Q 2"],
    wanted: Float[Tensor, "B K 2"],
    point_weight: float,
) -> Float[Tensor, "B K Q"]:
    """Return the distance (L1, in fractions of the crop) times `point_weight`, less the probability of the keypoint."""
    unlikely = -logits.softmax(dim=2)[..., : wanted.shape[1]].transpose(1, 2)
    return point_weight * torch.cdist(wanted, points, p=1) + unlikely
