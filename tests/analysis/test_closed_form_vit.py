"""The transformer systems in closed form: against figures of the public networks, and against both counters."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.closed_forms import SYSTEMS, Cost, cost, disagreement
from sharpose.models.registry import describe, list_models, resolve_config

# multiply-adds in 1e9 by torch's counter and by fvcore, parameters in millions
MEASURED = [
    ("vitpose-small-256x192", {}, 5.594, 5.605, 24.291),
    ("vitpose-small-384x288", {}, 13.542, 13.567, None),
    ("vitpose-base-256x192", {}, 18.523, 18.543, 89.995),
    ("vitpose-base-384x288", {}, 43.587, 43.633, 90.179),
    ("vitpose-base-256x192", {"image_size": (256, 256)}, 24.999, 25.026, None),
    ("vitpose-base-simple-256x192", {}, 17.461, 17.489, 85.912),
    ("vitpose-large-256x192", {}, None, 61.619, 308.5),
    ("vitpose-huge-256x192", {}, None, 125.912, 637.2),
    ("keypoint-vit-base-256x192", {}, 18.710, 18.730, 88.171),
    ("sharpose-base-256x192", {"stages": "fine"}, 18.710, 18.730, 88.171),
    ("sharpose-base-256x192", {"stages": "coarse"}, 5.75, None, None),
    ("dynamicvit-base-256x192", {}, 12.692, 12.707, 91.056),
    ("dynamicvit-base-256x192", {"num_keypoints": 18}, None, 12.797, None),
    ("dynamicvit-base-256x192", {"keep_rate": 0.5}, 9.85, None, None),
    ("evit-base-256x192", {}, 12.836, 12.850, 88.171),
    ("evit-base-256x192", {"num_keypoints": 18}, None, 12.940, None),
    ("evit-base-256x192", {"keep_rate": 0.9}, 16.55, None, None),
    ("tome-base-256x192", {}, 12.87, None, 88.171),
    ("tome-base-256x192", {"merges": 7}, 13.65, None, None),
    ("tome-base-256x192", {"merges": 10, "inflection": 0}, 13.13, None, None),
]


def closed(model: str, options: dict[str, Any]) -> Cost:
    record = describe(resolve_config(model, **options))
    return cost(record["system"], record)


@pytest.mark.parametrize(("model", "options", "torch", "fvcore", "params"), MEASURED)
def test_counts_equal_the_measured_ones(model, options, torch, fvcore, params):
    ours = closed(model, options)
    expected = ((ours.macs / 1e9, torch), (ours.fvcore / 1e9, fvcore), (ours.params / 1e6, params))
    for value, measured in expected:
        assert measured is None or value == pytest.approx(measured, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("vitpose-nano-128x96", {}),
        ("vitpose-nano-128x96", {"head": "simple", "upsample": 2, "mlp_ratio": 3}),
        ("vitpose-nano-128x96", {"deconv_filters": (16, 8, 4), "num_keypoints": 5}),
        ("keypoint-vit-nano-128x96", {"head": "two-layer"}),
        ("regression-vit-nano-128x96", {}),
        ("regression-vit-nano-128x96", {"num_keypoints": 5, "depth": 3, "embed_dim": 48}),
        ("dynamicvit-nano-128x96", {}),
        ("dynamicvit-nano-128x96", {"reduction_blocks": (0, 4), "token_ratios": (0.9, 0.2)}),
        ("evit-nano-128x96", {}),
        ("evit-nano-128x96", {"fuse_token": False, "keep_rates": (0.5, 1.0, 0.3), "num_heads": 3}),
        ("tome-nano-128x96", {}),
        ("tome-nano-128x96", {"merges_per_block": (90, 0, 60, 60, 1, 1), "num_keypoints": 4}),
        ("sharpose-nano-128x96", {"relevance_rows": "quality"}),
        ("sharpose-nano-128x96", {"stages": "coarse"}),
        ("sharpose-nano-128x96", {"stages": "fine"}),
    ],
)
def test_both_counters_agree_to_a_thousandth(model, options):
    from sharpose.efficiency.cost import measure_cost

    record = describe(resolve_config(model, **options))
    metrics = measure_cost(model, options)
    assert disagreement(record, metrics) < 1e-3
    assert disagreement(record, {**metrics, "macs_torch": metrics["macs_torch"] * 1.1}) > 0.09


def test_every_system_has_a_closed_form():
    for name in list_models():
        assert describe(resolve_config(name))["system"] in SYSTEMS, name
