"""Closed forms: against figures measured on the public networks, and against both counters."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.tables.kept import expected_macs_of
from sharpose.models import list_models, resolve_config
from sharpose.models.layers.cost import Cost
from sharpose.models.registry import closed_form

# multiply-adds in 1e9 by torch's counter and by fvcore, parameters in millions
MEASURED: list[tuple[str, dict[str, Any], float | None, float | None, float | None]] = [
    ("sharpose-base-256x192", {"alpha": 0.0}, 11.734, 11.748, 94.116),
    ("sharpose-base-256x192", {"alpha": 0.3}, 15.701, 15.719, 94.116),
    ("sharpose-base-256x192", {"alpha": 0.4}, 17.040, 17.060, 94.116),
    ("sharpose-base-256x192", {"alpha": 0.5}, 18.117, 18.138, 94.116),
    ("sharpose-base-256x192", {"alpha": 1.0}, 24.692, 24.719, 94.116),
    ("sharpose-base-384x288", {"alpha": 0.3}, 32.676, 32.713, 118.543),
    ("sharpose-base-384x288", {"alpha": 0.5}, 38.621, 38.663, 118.543),
    ("sharpose-small-256x192", {"alpha": 0.5}, 4.832, 4.843, 28.485),
    ("sharpose-small-384x288", {"alpha": 0.5}, 10.819, 10.842, 48.516),
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
    ("simple-baseline-r50-256x192", {}, None, 5.450, None),
    ("simple-baseline-r101-256x192", {}, None, 9.097, None),
    ("simple-baseline-r101-384x288", {}, None, 20.468, None),
    ("simple-baseline-r152-256x192", {}, 12.699, 12.746, None),
    ("simple-baseline-r152-384x288", {}, 28.573, 28.678, None),
    ("simple-baseline-r152-256x256", {}, None, 16.994, None),
    ("hrnet-w32-256x192", {}, None, 7.685, None),
    ("hrnet-w48-256x192", {}, 15.692, 15.746, None),
    ("hrnet-w48-384x288", {}, 35.307, 35.428, None),
    ("hrnet-w48-256x256", {}, None, 20.994, None),
    # the official code resizes maps that have their size already, which fvcore books: 0.13 to 0.2 % more than ours
    # (at Base 256x192 the 0.0175 by which 14.123 exceeds 14.105)
    ("hrformer-small-256x192", {}, None, 3.338, None),
    ("hrformer-base-256x192", {}, 13.907, 14.123, None),
    ("hrformer-base-384x288", {}, 30.453, 30.938, None),
    ("tokenpose-t-256x192", {}, 1.601, 1.607, None),
    ("tokenpose-l-d6-256x192", {}, 9.867, 9.907, None),
    ("tokenpose-l-d24-256x192", {}, 12.193, 12.243, None),
    ("tokenpose-l-d24-384x288", {}, 24.010, 24.108, None),
    ("tokenpose-l-d6-256x256", {}, None, 12.943, None),
    ("tokenpose-l-d24-256x256", {}, None, 15.269, None),
    ("okdhp-hourglass-4-256x256", {}, None, 15.437, None),
    ("okdhp-hourglass-8-256x256", {}, None, 28.239, None),
]


def form(model: str, **options: Any) -> Cost:
    found = closed_form(resolve_config(model, **options))
    assert found is not None
    return found


@pytest.mark.parametrize(("model", "options", "torch", "fvcore", "params"), MEASURED)
def test_counts_equal_the_measured_ones(
    model: str, options: dict[str, Any], torch: float | None, fvcore: float | None, params: float | None
) -> None:
    ours = form(model, **options)
    expected = ((ours.macs / 1e9, torch), (ours.fvcore / 1e9, fvcore), (ours.params / 1e6, params))
    for value, measured in expected:
        assert measured is None or value == pytest.approx(measured, rel=3e-3 if "hrformer" in model else 1e-3)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("sharpose-nano-128x96", {"depth": 4, "alpha": 0.3}),
        ("sharpose-nano-192x144", {"depth": 4, "alpha": 0.5, "keep_rounding": "floor"}),
        ("sharpose-nano-128x96", {"alpha": 0.7, "head": "two-layer", "mlp_ratio": 3, "num_keypoints": 14, "depth": 3}),
        (
            "sharpose-nano-128x96",
            {"depth": 4, "unselected_tokens": "output", "relevance_blocks": "all", "patch_size": 16},
        ),
        ("vitpose-nano-128x96", {"depth": 2}),
        ("vitpose-nano-128x96", {"depth": 2, "head": "simple", "upsample": 2, "mlp_ratio": 3}),
        ("vitpose-nano-128x96", {"depth": 2, "deconv_filters": (16, 8, 4), "num_keypoints": 5}),
        ("keypoint-vit-nano-128x96", {"depth": 2, "head": "two-layer"}),
        ("regression-vit-nano-128x96", {"depth": 2}),
        ("regression-vit-nano-128x96", {"num_keypoints": 5, "depth": 3, "embed_dim": 48}),
        ("dynamicvit-nano-128x96", {}),
        ("dynamicvit-nano-128x96", {"reduction_blocks": (0, 4), "token_ratios": (0.9, 0.2)}),
        ("evit-nano-128x96", {}),
        ("evit-nano-128x96", {"fuse_token": False, "keep_rates": (0.5, 1.0, 0.3), "num_heads": 3}),
        ("tome-nano-128x96", {}),
        ("tome-nano-128x96", {"merges_per_block": (90, 0, 60, 60, 1, 1), "num_keypoints": 4}),
        ("sharpose-nano-128x96", {"depth": 4, "relevance_rows": "quality"}),
        ("sharpose-nano-128x96", {"depth": 4, "stages": "coarse"}),
        ("sharpose-nano-128x96", {"depth": 4, "stages": "fine"}),
        ("simple-baseline-nano-128x96", {}),
        ("transpose-r-nano-128x96", {"num_keypoints": 5, "depth": 2}),
        ("transpose-h-nano-128x96", {"hidden_dim": 20, "num_heads": 2}),
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
        ("dvt-nano-128x96", {"depth": 4}),
        ("dvt-nano-128x96", {"depth": 4, "context_dim": 0, "relation_reuse": False, "num_keypoints": 5}),
        ("quadtree-nano-128x96", {"depth": 2, "num_keypoints": 5}),
        ("quadtree-nano-128x96", {"depth": 2, "form": "A", "levels": 2, "top_k": (5,), "head": "two-layer"}),
        ("prtr-nano-128x96", {"num_queries": 20, "encoder_depth": 1}),
        ("prtr-nano-128x96", {"widths": (8, 16, 32), "modules": (1, 1), "merge_planes": 8, "merged_channels": 48}),
        ("tfpose-nano-128x96", {"levels": 2, "points": 3, "num_keypoints": 5}),
        ("tfpose-nano-128x96", {"levels": 4, "resnet_depth": 50, "resnet_channels": 8, "decoder_depth": 2}),
        ("hourglass-nano-128x96", {"stacks": 3, "features": 32, "num_keypoints": 5}),
        ("okdhp-hourglass-nano-128x96", {"branches": 3, "stacks": 4, "depth": 2, "features": 32}),
    ],
)
def test_both_counters_agree_to_a_thousandth(model: str, options: dict[str, Any]) -> None:
    from sharpose.efficiency.cost import measure_cost

    ours, metrics = form(model, **options), measure_cost(model, options)
    assert ours.disagreement(metrics) < 1e-3
    assert ours.disagreement({**metrics, "macs_torch": 1.1 * metrics["macs_torch"]}) > 0.09


def test_every_model_has_a_form() -> None:
    assert all(form(name).params > 0 for name in list_models())


def test_expected_cost_is_that_of_each_person() -> None:
    config = resolve_config("sharpose-nano-128x96", alpha=0.375)
    everybody = form("sharpose-nano-128x96", alpha=0.375).fvcore
    assert expected_macs_of(config, {18: 7}, 7) == everybody
    coarse = form("sharpose-nano-128x96", stages="coarse").fvcore
    assert expected_macs_of(config, {}, 3) == coarse
    all_of_them = form("sharpose-nano-128x96", alpha=1.0).fvcore
    mixed = expected_macs_of(config, {18: 1, 48: 1}, 4)
    assert mixed == pytest.approx((everybody + all_of_them + 2 * coarse) / 4)


def test_alpha_changes_the_fine_stage_alone() -> None:
    low, high = (form("sharpose-base-256x192", alpha=alpha) for alpha in (0.3, 0.5))
    assert low.parts["coarse"] == high.parts["coarse"] and low.parts["head"] == high.parts["head"]
    assert low.parts["fine"].macs < high.parts["fine"].macs
    assert low.macs == low.parts["coarse"].macs + low.parts["fine"].macs
