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
LEAST_MARGINS = 10
"""Below so many times the margin, scores are too low to be called equivalent within it."""
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


def ends(name: str, interval: Interval | None, scale: float = 100) -> dict[str, float | None]:
    """Return both ends under `name`_low and `name`_high, of fractions in percent; None where there is no interval."""
    low, high = (None, None) if interval is None else (scale * interval.low, scale * interval.high)
    return {f"{name}_low": low, f"{name}_high": high}


def value_and_ends(name: str, interval: Interval | None, scale: float = 100) -> dict[str, float | None]:
    """Return the same after the value under `name`."""
    return {name: None if interval is None else scale * interval.value, **ends(name, interval, scale)}


def spread_text(one: Interval | significance.Comparison, form: str = "+.1f") -> str:
    """Return a value with its interval as text: fractions in percent, signed unless `form` says otherwise."""
    value, low, high = (format(100 * number, form) for number in (one.value, one.low, one.high))
    return f"{value} [{low}, {high}]"


def percentile_interval(value: float, replicates: npt.ArrayLike) -> Interval:
    """Return the percentile interval of `value` from its replicates."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(np.asarray(replicates, dtype=float), [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def score_of(metrics: Mapping[str, Any]) -> str:
    """Return the score that an accuracy record is about: pckh on MPII, else ap."""
    return next((score for score in SCORES if replicates_of(metrics, score)), SCORES[0])


def replicates_of(metrics: Mapping[str, Any], score: str) -> list[float]:
    """Return bootstrap replicates of a score; empty where the record holds none."""
    return metrics.get(f"{score}_bootstrap") or []


def score_interval(metrics: Mapping[str, Any], score: str) -> Interval | None:
    """The interval of a record's score: by its replicates or, of others (AP50, say), as it is stored; None without."""
    if score in SCORES:
        replicates = replicates_of(metrics, score)
        return percentile_interval(metrics[score], replicates) if replicates else None
    value, low, high = (metrics.get(key) for key in (score, f"{score}_low", f"{score}_high"))
    return None if value is None or low is None or high is None else Interval(value, low, high)


def paired_difference(metrics: Mapping[str, Any], other: Mapping[str, Any]) -> Interval | None:
    """Score of one minus score of the other, resampled together: replicate i of both drew the same images.

    None where they were not resampled alike, so that nothing can be said about pairs.
    """
    replicates, score = paired_replicates(metrics, other), score_of(metrics)
    return None if replicates is None else percentile_interval(metrics[score] - other[score], replicates)


def paired_replicates(metrics: Mapping[str, Any], other: Mapping[str, Any]) -> npt.NDArray[np.float64] | None:
    """Return the replicates of a paired difference; None where the two were not resampled alike."""
    if any(metrics.get(key) is None or metrics.get(key) != other.get(key) for key in PAIRING):
        return None
    first, second = (np.asarray(replicates_of(m, score_of(metrics)), dtype=float) for m in (metrics, other))
    return first - second if len(first) == len(second) else None


def off_centre_median(interval: Interval, replicates: npt.ArrayLike) -> float | None:
    """Return the median of the replicates where the value lies away from it; None where it is as good as the value.

    A value is off centre where it is further from the median than `OFF_CENTRE` of the interval's length: resampling
    moves it to one side (ties between replicates, or the few people of a class), and the reader should see where to.
    """
    median = float(np.nanmedian(np.asarray(replicates, dtype=float)))
    return median if abs(interval.value - median) > OFF_CENTRE * (interval.high - interval.low) else None


def t_interval(values: Sequence[float]) -> Interval | None:
    """Return the mean of independent trainings with its t-interval at `LEVEL`; None for fewer than three."""
    if len(values) < significance.LEAST_TRAININGS:
        return None
    return Interval(float(np.mean(values)), *significance.t_interval(values))


def t_interval_between(first: Sequence[float], second: Sequence[float], *, paired: bool) -> Interval | None:
    """Return the mean of trainings minus that of others with its t-interval; None for fewer than three of either.

    paired: value i of both is of one training; else they are taken as independent.
    """
    if paired:
        return t_interval([one - other for one, other in zip(first, second, strict=True)])
    if min(len(first), len(second)) < significance.LEAST_TRAININGS:
        return None
    return Interval(float(np.mean(first) - np.mean(second)), *significance.welch_interval(first, second))
