"""What a difference between scores says: paired intervals, many comparisons at once, equivalence, power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# scipy.stats would take a second to load
from scipy.special import ndtri, stdtrit

LEVEL = 0.05
POWER = 0.8
LEAST_TRAININGS = 3


@dataclass(frozen=True)
class Comparison:
    """Second minus first, both resampled together.

    low, high: the 95 % percentile interval; p: two-sided; equivalent: whether the 90 % interval lies within ± `margin`
    (two one-sided tests at 5 %); detectable: the smallest true difference that this set finds in 4 of 5 cases.
    """

    value: float
    low: float
    high: float
    p: float
    margin: float
    equivalent: bool
    detectable: float

    @property
    def verdict(self) -> str:
        """Return in words, for tables: higher, lower, equivalent, or open."""
        if self.p < LEVEL:
            return "higher" if self.value > 0 else "lower"
        return "equivalent" if self.equivalent else "open"


def compare_replicates(value: float, differences: Float[np.ndarray, " R"], margin: float) -> Comparison:
    """Judge a difference by its bootstrap replicates, in the same unit as `margin`; NaN replicates do not count."""
    drawn = differences[~np.isnan(differences)]
    low, near_low, near_high, high = np.percentile(drawn, [2.5, 5, 95, 97.5])
    return Comparison(
        value=value,
        low=float(low),
        high=float(high),
        p=two_sided_p(drawn),
        margin=margin,
        equivalent=bool(-margin < near_low and near_high < margin),
        detectable=float((ndtri(1 - LEVEL / 2) + ndtri(POWER)) * drawn.std(ddof=1)),
    )


def two_sided_p(differences: Float[np.ndarray, " R"]) -> float:
    """Return twice the smaller share of replicates on one side of zero, as if one more had fallen there (never 0)."""
    count = len(differences)
    below, above = (differences <= 0).sum(), (differences >= 0).sum()
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + count)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being tested together (Holm, 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the t-interval of the mean of independent trainings. Raises ValueError for fewer than three."""
    mean, error = float(np.mean(values)), squared_error(values) ** 0.5
    reach = float(stdtrit(len(values) - 1, 1 - LEVEL / 2)) * error
    return mean - reach, mean + reach


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the t-interval of the first mean minus the second, of independent trainings whose spreads may differ.

    Degrees of freedom by Welch (1947). Raises ValueError for fewer than three of either.
    """
    difference = float(np.mean(first) - np.mean(second))
    errors = np.array([squared_error(first), squared_error(second)])
    error = float(errors.sum())
    if error == 0:
        return difference, difference
    freedom = error**2 / float((errors**2 / [len(first) - 1, len(second) - 1]).sum())
    reach = float(stdtrit(freedom, 1 - LEVEL / 2)) * error**0.5
    return difference - reach, difference + reach


def squared_error(values: Sequence[float]) -> float:
    """Return the variance of the mean of independent trainings. Raises ValueError for fewer than three."""
    if len(values) < LEAST_TRAININGS:
        raise ValueError(f"an interval of the mean needs {LEAST_TRAININGS} trainings, not {len(values)}")
    return float(np.var(values, ddof=1)) / len(values)
