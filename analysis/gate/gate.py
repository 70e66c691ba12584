"""The quality threshold from stored predictions.

Accuracy, early exits and cost at every threshold (Figure 6), and whether the predicted quality is right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from analysis.gate.predictions import Array, Predictions
from analysis.tables.statistics import Interval, percentile_interval, value_and_ends
from sharpose.evaluation.metrics.coco_ap import CocoMetrics
from sharpose.evaluation.metrics.matches import Matches

RESAMPLES = 1000
DRAWS = 200
"""Choices over which random exits are averaged."""
BINS = 10
# that of `coco_ap`, so that what is resampled here pairs with it
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Cost:
    """Multiply-adds per person of each stage."""

    coarse: float
    fine: float

    def expected(self, refine_rate: float) -> float:
        """Return the expected multiply-adds per person: coarse + refine rate × fine."""
        return self.coarse + refine_rate * self.fine


@dataclass(frozen=True)
class Point:
    """What one threshold gives; `minus_all`: AP minus that of refining everybody, paired. AP as fractions."""

    threshold: float
    refine_rate: float
    metrics: CocoMetrics
    interval: Interval
    minus_all: Interval

    @property
    def exited(self) -> float:
        """Return the exit rate: the fraction of people who are not refined."""
        return 1 - self.refine_rate


class Gate:
    """Thresholds evaluated on one record's predictions, each set of refined people once."""

    def __init__(self, predictions: Predictions, resamples: int = RESAMPLES) -> None:
        self.predictions, self.resamples = predictions, resamples
        self.known: dict[bytes, CocoMetrics] = {}

    def point(self, threshold: float) -> Point:
        """Evaluate a threshold: people of a predicted quality below it are refined, as in the model."""
        # in double precision, also by a NumPy that would round the threshold to the array's
        refined = self.predictions.quality.astype(np.float64) < threshold
        ours, everybody = self.ap(refined), self.ap(np.ones_like(refined))
        value, replicates = ours.ap or 0.0, replicates_of(ours)
        gained = interval(value - (everybody.ap or 0.0), replicates - replicates_of(everybody))
        return Point(threshold, float(refined.mean()), ours, interval(value, replicates), gained)

    def ap(self, refined: Array) -> CocoMetrics:
        """Return the metrics with the `refined` people, bool (N,), refined; each choice is evaluated once."""
        key = np.packbits(refined).tobytes()
        if key not in self.known:
            self.known[key] = self.predictions.ap(refined, self.resamples)
        return self.known[key]

    @cached_property
    def stages(self) -> tuple[tuple[Matches, Array], tuple[Matches, Array]]:
        """Return the matches with nobody and with everybody refined, each with the person of every prediction, (D,)."""
        nobody = np.zeros(len(self.predictions.quality), dtype=bool)
        return self.predictions.matches(nobody), self.predictions.matches(~nobody)

    def at_random(self, refine_rate: float) -> tuple[float, Array]:
        """Evaluate a control that every useful gate beats: people drawn at random are refined, at the same rate.

        Return the mean AP of `DRAWS` choices, and its replicates: those of the limit for many people, in which every
        coarse and fine prediction counts by its probability, moved by what the mean lies away from that limit.
        """
        (coarse, coarse_people), (fine, fine_people) = self.stages
        people, rng = len(self.predictions.quality), np.random.default_rng(0)
        drawn = np.stack([first(rng.permutation(people), refine_rate) for _ in range(DRAWS)])
        once = np.ones((1, len(coarse.image_ids)))
        choices = coarse.mixed(fine, 1.0 - drawn[:, coarse_people], 1.0 * drawn[:, fine_people])
        expected = float(choices.ap(once).mean())
        limit = coarse.mixed(
            fine, np.full(len(coarse_people), 1 - refine_rate), np.full(len(fine_people), float(refine_rate))
        )
        if not self.resamples:
            return expected, np.array([np.nan])
        return expected, limit.resampled_ap(self.resamples, BOOTSTRAP_SEED) + expected - limit.ap(once)[0]

    def ap_by_gain(self, refine_rate: float) -> float | None:
        """Return the AP of an oracle: refined are those whose true OKS gains most, at the same rate."""
        coarse, fine = self.predictions.oks
        return self.ap_in_order(coarse - fine, refine_rate)

    def ap_by_true_quality(self, refine_rate: float) -> float | None:
        """Return the AP of an oracle: refined are those of lowest true coarse OKS, which quality predicts."""
        return self.ap_in_order(self.predictions.oks[0], refine_rate)

    def ap_in_order(self, first_to_refine: Array, refine_rate: float) -> float | None:
        """Return AP where those with the lowest values are refined. `first_to_refine`: a value per person, (N,)."""
        order = np.argsort(first_to_refine, kind="stable")
        return self.predictions.ap(first(order, refine_rate), resamples=0).ap

    def exits_worth(self, loss: float) -> dict[str, float]:
        """Return the largest percentage of early exits that costs at most `loss` of AP, a fraction, by who exits first.

        By bisection, as AP falls nearly steadily: those of the highest predicted quality ("quality") or true coarse OKS
        ("true_quality"), or those whose OKS gains least by refining ("gain").
        """
        coarse, fine = self.predictions.oks
        whole = self.ap(np.ones(len(coarse), dtype=bool)).ap or 0.0

        def lost(percentage: int, stays: Array) -> float:
            return whole - (self.ap_in_order(stays, 1 - percentage / 100) or 0.0)

        orders = {"quality": self.predictions.quality, "true_quality": coarse, "gain": coarse - fine}
        return {
            name: float(bisect_right(range(1, 101), loss, key=partial(lost, stays=stays)))
            for name, stays in orders.items()
        }


def first(order: Array, refine_rate: float) -> Array:
    """Return a mask, bool (N,), of the first fraction `refine_rate` of people in `order`, indices (N,)."""
    refined = np.zeros(len(order), dtype=bool)
    refined[order[: round(refine_rate * len(order))]] = True
    return refined


def replicates_of(metrics: CocoMetrics) -> Array:
    """Return AP of every bootstrap resample, (R,), as fractions; a single NaN where nothing was resampled."""
    return np.asarray(metrics.bootstrap.replicates if metrics.bootstrap else [np.nan], dtype=float)


def interval(value: float, replicates: Array) -> Interval:
    """Return the bootstrap interval, NaN where nothing was resampled. `replicates`: (R,), in the unit of `value`."""
    if np.isnan(replicates).all():
        return Interval(value, float("nan"), float("nan"))
    return percentile_interval(value, replicates)


def minus_random(gate: Gate, point: Point) -> Interval:
    """Return AP of a threshold minus the AP expected of refining as many people at random, paired."""
    expected, replicates = gate.at_random(point.refine_rate)
    return interval((point.metrics.ap or 0.0) - expected, replicates_of(point.metrics) - replicates)


def candidates(quality: Array, steps: int = 40) -> list[float]:
    """Return thresholds that refine about 0, 1/steps … all of the people, ascending. `quality`: (N,)."""
    inner = np.quantile(quality, np.linspace(0, 1, steps + 1)[1:])
    # the highest quality itself must be below the last threshold for its person to be refined
    return sorted({float(quality.min()), *map(float, inner), float(np.nextafter(quality.max(), np.inf))})


def curve(gate: Gate, thresholds: Iterable[float], cost: Cost) -> pd.DataFrame:
    """Return a line per threshold: AP in percent, cost in 1e9 multiply-adds; none and all refined at the ends."""
    quality = gate.predictions.quality
    ends = float(quality.min()), float(np.nextafter(quality.max(), np.inf))
    inner = [threshold for threshold in sorted(thresholds) if ends[0] < threshold < ends[1]]
    rows = []
    for threshold in (ends[0], *inner, ends[1]):
        point = gate.point(threshold)
        rows.append(
            {
                "threshold": threshold,
                "exited_percent": 100 * point.exited,
                **value_and_ends("ap", point.interval),
                "ap50": percent(point.metrics.ap50),
                "ap75": percent(point.metrics.ap75),
                **value_and_ends("ap_minus_all", point.minus_all),
                **value_and_ends("ap_minus_random", minus_random(gate, point)),
                "ap_by_gain": percent(gate.ap_by_gain(point.refine_rate)),
                "ap_by_true_quality": percent(gate.ap_by_true_quality(point.refine_rate)),
                "gflops": cost.expected(point.refine_rate) / 1e9,
            }
        )
    return pd.DataFrame(rows)


def pareto(frame: pd.DataFrame, cost: str = "gflops", accuracy: str = "ap") -> pd.DataFrame:
    """Return the points that no other one beats in both cost and accuracy, from cheap to dear."""
    ordered = frame.dropna(subset=[cost, accuracy]).sort_values([cost, accuracy], ascending=[True, False])
    before = ordered[accuracy].cummax().shift(fill_value=-np.inf)
    return ordered[ordered[accuracy] > before]


def percent(value: float | None) -> float | None:
    """Return a fraction in percent; None stays None."""
    return None if value is None else 100 * value


@dataclass(frozen=True)
class Calibration:
    """How well the predicted quality tells the true one, the OKS of the coarse stage.

    `rank`: Spearman's correlation of both; `rank_gain`: of the predicted quality and what the fine stage gains in OKS,
    which a useful gate makes negative; `error`: mean distance of bins of equal size from the diagonal; `explained`: R²,
    the fraction of the true one's variance that the predicted one explains as it is.
    """

    rank: float
    rank_gain: float
    error: float
    explained: float
    bins: pd.DataFrame


def calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """Return reliability in bins of equally many people, by predicted quality."""
    quality, (coarse, fine) = predictions.quality, predictions.oks
    order = np.array_split(np.argsort(quality, kind="stable"), bins)
    table = pd.DataFrame(
        {
            "predicted": [quality[rows].mean() for rows in order],
            "true": [coarse[rows].mean() for rows in order],
            "true_fine": [fine[rows].mean() for rows in order],
            "people": [len(rows) for rows in order],
        }
    )
    weights = table["people"] / table["people"].sum()
    return Calibration(
        rank=float(spearmanr(quality, coarse).statistic),
        rank_gain=float(spearmanr(quality, fine - coarse).statistic),
        explained=float(1 - np.mean((coarse - quality) ** 2) / np.var(coarse)),
        error=float(((table["predicted"] - table["true"]).abs() * weights).sum()),
        bins=table,
    )


class Candidate(NamedTuple):
    """A threshold that may be picked; `ap` as a fraction."""

    threshold: float
    refine_rate: float
    ap: float


def sweep(gate: Gate) -> list[Candidate]:
    """Return candidate thresholds from cheap to dear; the last refines everybody."""
    points = map(gate.point, candidates(gate.predictions.quality))
    return [Candidate(point.threshold, point.refine_rate, point.metrics.ap or 0.0) for point in points]


def pick(
    found: Sequence[Candidate], cost: Cost, *, budget: float | None = None, max_ap_loss: float | None = None
) -> Candidate | None:
    """Return the best threshold of a `sweep`; None where none is allowed.

    budget: pick the highest AP at this expected cost per person or less. max_ap_loss: pick the cheapest whose AP is at
    most this fraction below that of refining everybody. Of equal ones the cheaper is taken.
    """
    if budget is not None:
        allowed = [one for one in found if cost.expected(one.refine_rate) <= budget]
        return max(allowed, key=lambda one: (one.ap, -one.refine_rate), default=None)
    allowed = [one for one in found if found[-1].ap - one.ap <= (max_ap_loss or 0.0)]
    return min(allowed, key=lambda one: (one.refine_rate, -one.ap), default=None)
