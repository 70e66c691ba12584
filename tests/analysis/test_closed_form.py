"""The closed form against figures measured on the reference modules, and against both counters."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from analysis.closed_form import disagreement, expected, macs, parameters
from sharpose.models.registry import resolve_config

# multiply-adds in 1e9 by torch's counter and by fvcore, parameters in millions
MEASURED = [
    ("sharpose-base-256x192", 0.0, 11.734, 11.748, 94.116),
    ("sharpose-base-256x192", 0.3, 15.701, 15.719, 94.116),
    ("sharpose-base-256x192", 0.4, 17.040, 17.060, 94.116),
    ("sharpose-base-256x192", 0.5, 18.117, 18.138, 94.116),
    ("sharpose-base-256x192", 1.0, 24.692, 24.719, 94.116),
    ("sharpose-base-384x288", 0.3, 32.676, 32.713, 118.543),
    ("sharpose-base-384x288", 0.5, 38.621, 38.663, 118.543),
    ("sharpose-small-256x192", 0.5, 4.832, 4.843, 28.485),
    ("sharpose-small-384x288", 0.5, 10.819, 10.842, 48.516),
]


@pytest.mark.parametrize(("model", "alpha", "torch", "fvcore", "params"), MEASURED)
def test_counts_equal_the_measured_ones(model, alpha, torch, fvcore, params):
    config = asdict(resolve_config(model, alpha=alpha))
    stages = macs(config)
    assert stages["total"].macs / 1e9 == pytest.approx(torch, rel=1e-3)
    assert stages["total"].fvcore / 1e9 == pytest.approx(fvcore, rel=1e-3)
    assert parameters(config) / 1e6 == pytest.approx(params, rel=1e-4)
    assert sum(stages[s].macs for s in ("coarse", "fine", "coarse_head", "fine_head")) == stages["total"].macs


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("sharpose-nano-128x96", {"alpha": 0.3}),
        ("sharpose-nano-192x144", {"alpha": 0.5, "keep_rounding": "floor"}),
        ("sharpose-nano-128x96", {"alpha": 0.7, "head": "two-layer", "mlp_ratio": 3, "num_keypoints": 14, "depth": 3}),
        ("sharpose-nano-128x96", {"unselected_tokens": "output", "relevance_blocks": "all", "patch_size": 16}),
        ("sharpose-nano-128x96", {"gate": "gain"}),
    ],
)
def test_both_counters_agree_to_a_thousandth(model, options):
    from sharpose.efficiency.cost import measure_cost

    metrics = measure_cost(model, options)
    assert disagreement(asdict(resolve_config(model, **options)), metrics) < 1e-3
    assert (
        disagreement(asdict(resolve_config(model, **options)), {**metrics, "macs_torch": metrics["macs_torch"] * 1.1})
        > 0.09
    )


def test_expected_cost_is_that_of_each_person():
    config = asdict(resolve_config("sharpose-nano-128x96", alpha=0.375))
    everybody = macs(config)["total"].fvcore
    assert expected(config, {18: 7}, 7) == everybody
    coarse = macs(asdict(resolve_config("sharpose-nano-128x96", stages="coarse")))["total"].fvcore
    assert expected(config, {}, 3) == coarse
    all_of_them = macs(asdict(resolve_config("sharpose-nano-128x96", alpha=1.0)))["total"].fvcore
    assert expected(config, {18: 1, 48: 1}, 4) == pytest.approx((everybody + all_of_them + 2 * coarse) / 4)


def test_alpha_changes_the_fine_stage_alone():
    low, high = (macs(asdict(resolve_config("sharpose-base-256x192", alpha=alpha))) for alpha in (0.3, 0.5))
    assert low["coarse"] == high["coarse"] and low["fine_head"] == high["fine_head"]
    assert low["fine"].macs < high["fine"].macs
