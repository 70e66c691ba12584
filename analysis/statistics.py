"""Intervals and paired comparisons from bootstrap replicates that records hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
REPLICATES = "ap_bootstrap"
# replicate i of two records drew the same images where these agree
PAIRING = ("bootstrap_seed", "bootstrap_images", "annotations_sha256")


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval at `LEVEL` around a value, in the value's unit."""

    value: float
    low: float
    high: float


def percentile_interval(value: float, replicates: npt.ArrayLike) -> Interval:
    """The percentile interval of `value` from its replicates."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(np.asarray(replicates, dtype=float), [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def ap_interval(metrics: Mapping[str, Any]) -> Interval | None:
    """The interval of a record's AP; None where it holds no replicates."""
    replicates = metrics.get(REPLICATES)
    return percentile_interval(metrics["ap"], replicates) if replicates else None


def paired_difference(metrics: Mapping[str, Any], other: Mapping[str, Any]) -> Interval | None:
    """AP of one minus AP of the other, resampled together: replicate i of both drew the same images.

    None where they were not resampled alike, so that nothing can be said about pairs.
    """
    if any(metrics.get(key) is None or metrics.get(key) != other.get(key) for key in PAIRING):
        return None
    first, second = (np.asarray(m[REPLICATES], dtype=float) for m in (metrics, other))
    if len(first) != len(second):
        return None
    return percentile_interval(metrics["ap"] - other["ap"], first - second)
