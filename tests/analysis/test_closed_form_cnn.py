"""Convolution by convolution: against figures measured on the public networks, and against both counters."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.closed_forms import cost, disagreement
from sharpose.models.registry import describe, list_models, resolve_config

# multiply-adds in 1e9 by torch's counter and by fvcore
MEASURED = [
    ("simple-baseline-r50-256x192", None, 5.450),
    ("simple-baseline-r101-256x192", None, 9.097),
    ("simple-baseline-r101-384x288", None, 20.468),
    ("simple-baseline-r152-256x192", 12.699, 12.746),
    ("simple-baseline-r152-384x288", 28.573, 28.678),
    ("simple-baseline-r152-256x256", None, 16.994),
    ("hrnet-w32-256x192", None, 7.685),
    ("hrnet-w48-256x192", 15.692, 15.746),
    ("hrnet-w48-384x288", 35.307, 35.428),
    ("hrnet-w48-256x256", None, 20.994),
    # the official code resizes maps that have their size already, which fvcore books: 0.13 to 0.2 % more than ours
    # (at Base 256x192 the 0.0175 by which 14.123 exceeds 14.105)
    ("hrformer-small-256x192", None, 3.338),
    ("hrformer-base-256x192", 13.907, 14.123),
    ("hrformer-base-384x288", 30.453, 30.938),
    ("tokenpose-t-256x192", 1.601, 1.607),
    ("tokenpose-l-d6-256x192", 9.867, 9.907),
    ("tokenpose-l-d24-256x192", 12.193, 12.243),
    ("tokenpose-l-d24-384x288", 24.010, 24.108),
    ("tokenpose-l-d6-256x256", None, 12.943),
    ("tokenpose-l-d24-256x256", None, 15.269),
    ("okdhp-hourglass-4-256x256", None, 15.437),
    ("okdhp-hourglass-8-256x256", None, 28.239),
]


@pytest.mark.parametrize(("model", "torch", "fvcore"), MEASURED)
def test_counts_equal_the_measured_ones(model: str, torch: float | None, fvcore: float) -> None:
    config = describe(resolve_config(model))
    counted = cost(config["system"], config)
    assert counted.fvcore / 1e9 == pytest.approx(fvcore, rel=3e-3 if "hrformer" in model else 3e-4)
    if torch is not None:
        assert counted.macs / 1e9 == pytest.approx(torch, rel=3e-4)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("simple-baseline-nano-128x96", {}),
        ("simple-baseline-nano-128x96", {"resnet_depth": 50, "base_channels": 8, "deconv_filters": (24, 16, 8)}),
        # stage 1 keeps its width, so there is no shortcut to count
        ("hrnet-nano-128x96", {"stem_channels": 64, "stage1_planes": 16}),
        ("hrnet-nano-128x96", {"widths": (64, 8, 12), "modules": (2, 1), "num_keypoints": 5}),
        ("hrformer-nano-128x96", {"window_size": 5, "mlp_ratio": 2}),
        ("hrformer-nano-128x96", {"image_size": (100, 76), "heatmap_size": (25, 19)}),
        ("tokenpose-nano-128x96", {"stacks": 2, "head": "two-layer", "mlp_ratio": 2}),
        (
            "tokenpose-nano-128x96",
            {"patch_size": (4, 3), "stem_widths": (8, 12, 20), "stem_modules": (1, 1), "stem_stage1_planes": 16},
        ),
        ("okdhp-hourglass-nano-128x96", {}),
        ("okdhp-hourglass-nano-128x96", {"branches": 3, "stacks": 4, "depth": 2, "features": 32}),
    ],
)
def test_both_counters_agree_to_a_thousandth(model: str, options: dict[str, Any]) -> None:
    from sharpose.efficiency.cost import measure_cost

    config, metrics = describe(resolve_config(model, **options)), measure_cost(model, options)
    assert disagreement(config, metrics) < 1e-3
    assert disagreement(config, {**metrics, "macs_torch": 1.1 * metrics["macs_torch"]}) > 0.09


def test_every_model_has_a_form() -> None:
    for config in map(describe, map(resolve_config, list_models())):
        assert cost(config["system"], config).params > 0
    with pytest.raises(KeyError):
        cost("CPM", {})
