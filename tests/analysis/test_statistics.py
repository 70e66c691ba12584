"""Intervals and paired differences from stored replicates."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.tables.statistics import ap_interval, paired_difference


def metrics(ap: float, replicates: list, seed: int = 0, images: str = "a") -> dict:
    return {
        "ap": ap,
        "ap_bootstrap": replicates,
        "bootstrap_seed": seed,
        "bootstrap_images": images,
        "annotations_sha256": "c",
    }


def test_the_interval_holds_the_middle_95_percent():
    interval = ap_interval(metrics(0.5, np.linspace(0, 1, 1001).tolist()))
    assert (interval.value, interval.low, interval.high) == (0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert ap_interval({"ap": 0.5}) is None


def test_replicates_without_people_do_not_count():
    assert ap_interval(metrics(0.5, [0.4, None, 0.4])).low == pytest.approx(0.4)


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
