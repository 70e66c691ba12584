"""Which labels of a keypoint file count in training, and how much: for labels that a model made. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpose.runtime.errors import InputError


@dataclass(frozen=True)
class LabelRule:
    """Which labels count, and how much.

    least_score: keypoints whose `keypoint_scores` lie below it are as unlabelled. by_score: others count as much as
    their score. without: people whose annotation has one of these flags set are left out.

    Keypoints of people without `keypoint_scores` (labelled by hand) all count 1.
    """

    least_score: float = 0.0
    by_score: bool = False
    without: tuple[str, ...] = ()

    def judge(self, visible: np.ndarray, scores: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return visibility and weight (K,) of one person's keypoints. Raises InputError where scores do not fit them.

        `visible`: (K,).
        """
        if scores is None:
            return visible, np.ones(len(visible))
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != visible.shape or not np.isfinite(values).all():
            raise InputError(f"keypoint_scores must be {len(visible)} numbers, one per keypoint")
        return visible * (values >= self.least_score), values if self.by_score else np.ones(len(visible))
