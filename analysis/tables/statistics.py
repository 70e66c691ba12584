"""Intervals and paired comparisons from bootstrap replicates that records hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
SCORES = ("ap", "pckh")
"""Scores whose replicates records hold, as `<score>_bootstrap`."""
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


def score_of(metrics: Mapping[str, Any]) -> str:
    """The score that an accuracy record is about: pckh on MPII, else ap."""
    return next((score for score in SCORES if replicates_of(metrics, score)), SCORES[0])


def replicates_of(metrics: Mapping[str, Any], score: str) -> list[float]:
    """Bootstrap replicates of a score; empty where the record holds none."""
    return metrics.get(f"{score}_bootstrap") or []


def score_interval(metrics: Mapping[str, Any], score: str) -> Interval | None:
    """The interval of a record's score; None where it holds no replicates of it."""
    replicates = replicates_of(metrics, score)
    return percentile_interval(metrics[score], replicates) if replicates else None


def ap_interval(metrics: Mapping[str, Any]) -> Interval | None:
    """The interval of a record's AP; None where it holds no replicates."""
    return score_interval(metrics, "ap")


def paired_difference(metrics: Mapping[str, Any], other: Mapping[str, Any]) -> Interval | None:
    """Score of one minus score of the other, resampled together: replicate i of both drew the same images.

    None where they were not resampled alike, so that nothing can be said about pairs.
    """
    if any(metrics.get(key) is None or metrics.get(key) != other.get(key) for key in PAIRING):
        return None
    score = score_of(metrics)
    first, second = (np.asarray(replicates_of(m, score), dtype=float) for m in (metrics, other))
    if len(first) != len(second):
        return None
    return percentile_interval(metrics[score] - other[score], first - second)
