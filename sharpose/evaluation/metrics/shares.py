"""Bootstrap intervals of the fraction of correct keypoints, over resampled images."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from sharpose.evaluation.metrics.coco_ap import RESAMPLES, Bootstrap


def share_bootstrap(
    right: Bool[np.ndarray, "N K"],
    counted: Bool[np.ndarray, "N K"],
    image_ids: Int[np.ndarray, " N"],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bootstrap:
    """Return the fraction of counted keypoints that are correct, on images drawn with replacement (NaN: none counts).

    The draws depend on seed and image count alone, so that replicates of two models are paired.
    """
    images, place = np.unique(image_ids, return_inverse=True)
    found = np.bincount(place, (right & counted).sum(axis=1), len(images))
    total = np.bincount(place, counted.sum(axis=1), len(images))
    rng = np.random.default_rng(np.random.SeedSequence((seed, len(images))))
    drawn = rng.integers(0, len(images), (resamples, len(images)))
    counting = total[drawn].sum(axis=1)
    replicates = np.divide(found[drawn].sum(axis=1), counting, out=np.full(resamples, np.nan), where=counting > 0)
    return Bootstrap(replicates, tuple(images.tolist()), seed)
