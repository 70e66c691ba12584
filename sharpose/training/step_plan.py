"""What a training step is told about its place in the schedule."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepPlan:
    """What differs between steps.

    Alpha (None: the model's own), whether only the coarse stage learns, lambda, for schedules of a system's own the
    epoch with its fraction, and the weight of the heatmaps' cross-entropy.
    """

    alpha: float | None
    coarse_only: bool
    quality_weight: float
    epoch: float = 0.0
    cross_entropy: float = 0.0
