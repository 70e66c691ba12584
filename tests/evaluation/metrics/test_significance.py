"""What a difference says: against numbers worked out by hand and by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sharpose.evaluation.metrics.significance import compare_replicates, holm, t_interval, two_sided_p, welch_interval


def test_holm_against_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_values_count_the_smaller_side_and_are_never_zero() -> None:
    assert two_sided_p(np.array([1.0] * 99)) == pytest.approx(0.02)
    assert two_sided_p(np.array([-1.0] * 10 + [1.0] * 89)) == pytest.approx(0.22)
    assert two_sided_p(np.zeros(50)) == 1.0


def test_verdicts() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.002, 4000)
    close = compare_replicates(0.0, drawn, margin=0.005)
    assert close.verdict == "equivalent" and close.detectable == pytest.approx(2.80 * 0.002, rel=0.03)
    assert compare_replicates(0.0, drawn, margin=0.003).verdict == "open"
    up = compare_replicates(0.02, drawn + 0.02, margin=0.005)
    assert up.verdict == "higher" and up.low == pytest.approx(0.02 - 1.96 * 0.002, abs=2e-4)
    assert compare_replicates(-0.02, np.append(drawn - 0.02, np.nan), margin=0.005).verdict == "lower"


def test_t_interval_is_scipys_and_wants_three() -> None:
    values = [65.1, 64.9, 65.4, 65.0]
    low, high = t_interval(values)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))
    with pytest.raises(ValueError, match="needs 3 trainings"):
        t_interval([1.0, 2.0])


def test_the_interval_between_trainings_is_welchs() -> None:
    first, second = [12.1, 11.8, 12.6], [6.9, 7.0, 7.4, 6.2]
    wanted = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert welch_interval(first, second) == pytest.approx((wanted.low, wanted.high))
    assert welch_interval([2.0] * 3, [1.0] * 3) == (1.0, 1.0)
    with pytest.raises(ValueError, match="needs 3 trainings, not 2"):
        welch_interval(first, [1.0, 2.0])


@pytest.mark.parametrize(
    ("centre", "spread", "significant", "equivalent"),
    [(0.0, 0.001, False, True), (0.0, 0.02, False, False), (0.05, 0.01, True, False), (0.003, 0.0005, True, True)],
)
def test_difference_and_equivalence_are_two_questions(
    centre: float, spread: float, significant: bool, equivalent: bool
) -> None:
    tested = compare_replicates(centre, np.random.default_rng(0).normal(centre, spread, 2000), 0.005)
    assert (tested.p < 0.05, tested.equivalent) == (significant, equivalent)
    # 1.96 + 0.84 standard errors
    assert tested.detectable == pytest.approx(2.8 * spread, rel=0.05)


def test_p_is_never_zero_and_at_most_one() -> None:
    assert compare_replicates(1.0, np.ones(99), 0.005).p == pytest.approx(0.02)
    assert compare_replicates(0.0, np.zeros(99), 0.005).p == 1
