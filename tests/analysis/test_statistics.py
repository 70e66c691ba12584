"""Intervals, paired differences and tests from stored replicates."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.tables.lines import compare_records
from analysis.tables.statistics import (
    Interval,
    off_centre_median,
    paired_difference,
    percentile_interval,
    score_interval,
    t_interval,
    t_interval_between,
)
from results.records import Record
from sharpose.evaluation.metrics.significance import holm


def metrics(ap: float, replicates: list, seed: int = 0, images: str = "a") -> dict:
    return {
        "ap": ap,
        "ap_bootstrap": replicates,
        "bootstrap_seed": seed,
        "bootstrap_images": images,
        "annotations_sha256": "c",
    }


def test_the_interval_holds_the_middle_95_percent():
    interval = score_interval(metrics(0.5, np.linspace(0, 1, 1001).tolist()), "ap")
    assert (interval.value, interval.low, interval.high) == (0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert score_interval({"ap": 0.5}, "ap") is None


def test_replicates_without_people_do_not_count():
    assert score_interval(metrics(0.5, [0.4, None, 0.4]), "ap").low == pytest.approx(0.4)


def test_a_constant_lead_has_no_spread_however_wide_the_intervals_are():
    replicates = np.random.default_rng(0).normal(0.5, 0.1, 1000)
    difference = paired_difference(metrics(0.52, (replicates + 0.02).tolist()), metrics(0.5, replicates.tolist()))
    assert difference.value == pytest.approx(0.02)
    assert (difference.low, difference.high) == (pytest.approx(0.02), pytest.approx(0.02))


@pytest.mark.parametrize(
    "other", [metrics(0.5, [0.5, 0.5], seed=1), metrics(0.5, [0.5, 0.5], images="b"), metrics(0.5, [0.5]), {"ap": 0.5}]
)
def test_what_was_not_resampled_alike_is_not_paired(other):
    assert paired_difference(metrics(0.5, [0.4, 0.6]), other) is None


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []


def test_the_t_interval_is_the_textbooks():
    # 1, 2, 3: sd 1, t(.975, 2) = 4.302653
    interval = t_interval([1.0, 2.0, 3.0])
    assert (interval.value, interval.high - 2) == (2, pytest.approx(4.302653 / 3**0.5, abs=1e-5))
    assert t_interval([1.0, 2.0]) is None


def test_differences_of_one_training_are_paired():
    first, second = [0.12, 0.14, 0.19], [0.08, 0.10, 0.15]
    paired, apart = (t_interval_between(first, second, paired=paired) for paired in (True, False))
    assert [paired.value, apart.value] == pytest.approx([0.04, 0.04])
    assert (paired.low, paired.high) == (pytest.approx(0.04), pytest.approx(0.04)) and apart.low < 0 < apart.high
    assert t_interval_between(first, second[:2], paired=False) is None


def test_a_median_is_told_where_the_value_lies_beside_it():
    replicates = np.linspace(0, 1, 101)
    assert off_centre_median(percentile_interval(0.5, replicates), replicates) is None
    assert off_centre_median(percentile_interval(0.9, replicates), replicates) == pytest.approx(0.5)


def test_stored_ends_are_an_interval():
    assert score_interval({"ap50": 0.5, "ap50_low": 0.4, "ap50_high": 0.6}, "ap50") == Interval(0.5, 0.4, 0.6)
    assert score_interval({"ap50": 0.5}, "ap50") is None


def scored(ap: float, seed: int = 0) -> Record:
    """A record of a score that is resampled, in pairs with others, around it."""
    drawn = (ap + np.random.default_rng(seed).normal(0, 0.001, 500)).tolist()
    pairing = {"bootstrap_seed": 0, "bootstrap_images": "a", "annotations_sha256": "c"}
    return Record({"measure": "accuracy"}, {"ap": ap, "ap_bootstrap": drawn, **pairing}, "spec", "row", "nano", {})


def test_a_score_minus_the_mean_of_several() -> None:
    tested = compare_records(scored(0.30), scored(0.26, 1), scored(0.28, 2))
    assert tested is not None and tested.value == pytest.approx(0.03) and tested.low < 0.03 < tested.high
    drawn = [np.asarray(scored(*one).metrics["ap_bootstrap"]) for one in ((0.30,), (0.26, 1), (0.28, 2))]
    assert tested.low == pytest.approx(np.percentile(drawn[0] - (drawn[1] + drawn[2]) / 2, 2.5))
    assert compare_records(scored(0.30), scored(0.26), None) is None


def test_low_scores_are_never_equivalent() -> None:
    high, low = compare_records(scored(0.30), scored(0.30, 1)), compare_records(scored(0.03), scored(0.03, 1))
    assert high is not None and high.equivalent and low is not None and not low.equivalent
