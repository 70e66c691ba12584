"""Intervals, paired comparisons and tests from bootstrap replicates that records hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sharpose.evaluation.metrics import significance

LEVEL = 0.95
MARGIN = 0.005
"""Difference of AP, as a fraction, within which two systems are called equivalent."""
OFF_CENTRE = 0.15
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
    replicates, score = paired_replicates(metrics, other), score_of(metrics)
    return None if replicates is None else percentile_interval(metrics[score] - other[score], replicates)


def paired_replicates(metrics: Mapping[str, Any], other: Mapping[str, Any]) -> npt.NDArray[np.float64] | None:
    """Return the replicates of a paired difference; None where the two hold different numbers of them."""
    first, second = (np.asarray(replicates_of(m, score_of(metrics)), dtype=float) for m in (metrics, other))
    return first - second if len(first) == len(second) else None


def other_interval(metrics: Mapping[str, Any], score: str) -> Interval | None:
    """Return the stored interval of a score without replicates (AP50, say); None where the record holds none."""
    low, high = metrics.get(f"{score}_low"), metrics.get(f"{score}_high")
    if metrics.get(score) is None or low is None or high is None:
        return None
    return Interval(metrics[score], low, high)


def off_centre_median(interval: Interval, replicates: npt.ArrayLike) -> float | None:
    """Return the median of the replicates where the value lies away from it; None where it is as good as the value.

    A value is off centre where it is further from the median than `OFF_CENTRE` of the interval's length: resampling
    moves it to one side (ties between replicates, or the few people of a class), and the reader should see where to.
    """
    median = float(np.nanmedian(np.asarray(replicates, dtype=float)))
    return median if abs(interval.value - median) > OFF_CENTRE * (interval.high - interval.low) else None


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent trainings with its t-interval at `LEVEL`; ValueError for fewer than three."""
    return Interval(float(np.mean(values)), *significance.t_interval(values))
