"""Intervals of shares of right keypoints: images are resampled, and right and counted keypoints added up anew."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from sharpose.evaluation.metrics.coco_ap import RESAMPLES, Bootstrap


def share_bootstrap(
    right: Bool[np.ndarray, "N K"],
    counted: Bool[np.ndarray, "N K"],
    image_ids: Int[np.ndarray, " N"],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrap:
    """Right keypoints as a share of those that count, for sets of images drawn with replacement (NaN: none counts).

    The draws depend on seed and image count alone, so that replicates of two models are paired.
    """
    images, place = np.unique(image_ids, return_inverse=True)
    found = np.bincount(place, (right & counted).sum(axis=1), len(images))
    total = np.bincount(place, counted.sum(axis=1), len(images))
    rng = np.random.default_rng(np.random.SeedSequence((seed, len(images))))
    replicates = np.array(
        [one_share(found, total, rng.integers(0, len(images), len(images))) for _ in range(resamples)]
    )
    return Bootstrap(replicates, tuple(images.tolist()), seed)


def one_share(found: Float[np.ndarray, " I"], total: Float[np.ndarray, " I"], drawn: Int[np.ndarray, " I"]) -> float:
    """Of the images drawn."""
    counted = total[drawn].sum()
    return float(found[drawn].sum() / counted) if counted else float("nan")
