"""SHaRPose: what its stages do, that early exit skips work, and that every switch does what it says."""

from __future__ import annotations

import pytest
import torch

from sharpose.models import create_model, list_models, resolve_config
from sharpose.models.layers.vit import compute_densely, use_explicit_attention
from sharpose.models.sharpose.model import SHaRPose
from sharpose.runtime.errors import InputError

SMALL = {"embed_dim": 24, "num_heads": 4, "depth": 4}


def tiny(**options: object) -> SHaRPose:
    torch.manual_seed(0)
    model = create_model("sharpose-nano-128x96", **{**SMALL, "quality_threshold": None, **options})
    with torch.no_grad():
        # random but far from zero, so that differences show
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(6, 3, 128, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "params_m"),
    [
        ("sharpose-small-256x192", 28.485),
        ("sharpose-small-384x288", 48.516),
        ("sharpose-base-256x192", 94.116),
        ("sharpose-base-384x288", 118.543),
    ],
)
def test_parameter_counts_are_the_releases(name: str, params_m: float) -> None:
    with torch.device("meta"):
        model = create_model(name)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(params_m, abs=5e-4)


@torch.no_grad()
def test_threshold_parts_the_batch_and_leaves_the_rest_coarse(images: torch.Tensor) -> None:
    refine_all = tiny()(images)
    threshold = refine_all.quality.sort().values[2:4].mean().item()
    output = tiny(quality_threshold=threshold)(images)
    assert output.needs_refinement.tolist() == (refine_all.quality < threshold).tolist()
    assert output.needs_refinement.sum() == 3
    refined = output.needs_refinement
    torch.testing.assert_close(output.heatmaps[refined], refine_all.heatmaps[refined], rtol=0, atol=2e-6)
    torch.testing.assert_close(output.heatmaps[~refined], output.coarse_heatmaps[~refined], rtol=0, atol=2e-6)
    assert output.fine_heatmaps.shape[0] == output.keep_indices.shape[0] == 3


@torch.no_grad()
def test_only_instances_to_refine_reach_the_fine_stage(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fine = SHaRPose.fine

    def spy(self: SHaRPose, images: torch.Tensor, *rest: object) -> object:
        seen.append(len(images))
        return fine(self, images, *rest)

    monkeypatch.setattr(SHaRPose, "fine", spy)
    quality = tiny()(images).quality.sort().values
    seen.clear()
    tiny(quality_threshold=quality[:2].mean().item())(images)
    tiny(quality_threshold=quality[0].item() - 1)(images)
    assert seen == [1]  # one person of six, then nobody


def test_training_always_refines(images: torch.Tensor) -> None:
    output = tiny(quality_threshold=-1e9).train()(images)
    assert output.fine_heatmaps.shape[0] == 6


@torch.no_grad()
def test_alpha_of_a_call_overrides_the_configured(images: torch.Tensor) -> None:
    elastic = tiny(alpha=0.4)(images, 0.1)
    assert elastic.keep_indices.shape == (6, 5)
    torch.testing.assert_close(elastic.heatmaps, tiny(alpha=0.1)(images).heatmaps)


@torch.no_grad()
def test_all_patches_kept_do_not_depend_on_the_relevance(images: torch.Tensor) -> None:
    late, everywhere = tiny(alpha=1.0)(images), tiny(alpha=1.0, relevance_blocks="all")(images)
    assert not torch.equal(late.relevance, everywhere.relevance)
    torch.testing.assert_close(late.heatmaps, everywhere.heatmaps, rtol=0, atol=2e-6)


@torch.no_grad()
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("relevance_blocks", "all"),
        ("relevance_rows", "all"),
        ("unselected_tokens", "output"),
        ("keep_rounding", "floor"),
    ],
)
def test_every_switch_changes_the_result(images: torch.Tensor, field: str, value: str) -> None:
    default, switched = tiny(alpha=0.3)(images), tiny(alpha=0.3, **{field: value})(images)
    torch.testing.assert_close(default.coarse_heatmaps, switched.coarse_heatmaps)
    changed = not torch.equal(default.relevance, switched.relevance)
    assert changed or not torch.allclose(default.heatmaps, switched.heatmaps, rtol=0, atol=1e-6)


@torch.no_grad()
def test_explicit_attention_gives_the_same(images: torch.Tensor) -> None:
    model = tiny()
    fused = model(images)
    use_explicit_attention(model)
    explicit = model(images)
    torch.testing.assert_close(fused.heatmaps, explicit.heatmaps, rtol=0, atol=5e-6)
    torch.testing.assert_close(fused.relevance, explicit.relevance, rtol=1e-4, atol=1e-7)


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.4},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"unselected_tokens": "output", "relevance_blocks": "all"},
        {"stages": "coarse"},
        {"stages": "fine"},
        {"depth": 1},
        {"head": "two-layer", "refine_ratio": 4},
    ],
)
def test_what_nobody_reads_is_not_computed_and_changes_nothing(
    images: torch.Tensor, options: dict[str, object]
) -> None:
    full, thrifty = tiny(**options), tiny(**options)
    compute_densely(full)
    expected, found = full(images), thrifty(images)
    for name, value in vars(expected).items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(getattr(found, name), value, rtol=1e-5, atol=2e-6)
    if full.config.has_coarse and full.config.has_fine:
        assert torch.equal(found.keep_indices, expected.keep_indices)


@torch.no_grad()
def test_tokens_per_mlp_are_those_whose_output_is_read(images: torch.Tensor) -> None:
    model, passed = tiny(alpha=0.25), {"block": [], "reuse": [], "head": []}
    modules = {"block": model.blocks[-1].mlp, "reuse": model.reuse_mlp, "head": model.head}
    for name, module in modules.items():
        module.register_forward_pre_hook(lambda _, inputs, name=name: passed[name].append(inputs[0].shape[1]))
    output = model(images)
    # quality and keypoint tokens, the 12 kept patches, and in the fine stage keypoint tokens; one set of heatmaps
    assert passed == {"block": [18, 12, 17], "reuse": [12], "head": [17]}
    assert output.coarse_heatmaps.shape == output.heatmaps.shape and len(passed["head"]) == 2


def test_gradients_are_those_of_the_full_computation(images: torch.Tensor) -> None:
    gradients = []
    for dense in (True, False):
        model = tiny(drop_path=0.0).train()
        compute_densely(model, dense)
        output = model(images)
        (output.heatmaps.square().mean() + output.coarse_heatmaps.square().mean() + output.quality.mean()).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_stochastic_depth_drops_whole_images(images: torch.Tensor) -> None:
    """With every path dropped in the last block, its tokens leave it as they came."""
    model = tiny(drop_path=0.9).train()
    torch.manual_seed(3)
    stage = model.coarse(images)
    assert stage.keys is None and stage.patch_states.shape == (6, 48, 24)
    torch.manual_seed(3)
    torch.testing.assert_close(model.coarse(images).patch_states, stage.patch_states)


def test_coarse_heatmaps_can_be_asked_for_after_inference_mode(images: torch.Tensor) -> None:
    model = tiny()
    with torch.inference_mode():
        output = model(images)
        expected = model.head(model.coarse(images).keypoint_tokens)
    torch.testing.assert_close(output.coarse_heatmaps, expected)
    assert output.coarse_heatmaps is output.coarse_heatmaps


def test_presets_differ_in_the_six_switches() -> None:
    release, paper = (vars(resolve_config("sharpose-base-256x192", semantics=s)) for s in ("release", "paper"))
    differing = {name for name in release if release[name] != paper[name]}
    assert differing == {
        "keep_rounding",
        "relevance_blocks",
        "relevance_rows",
        "unselected_tokens",
        "quality_threshold",
        "oks_target",
    }
    assert resolve_config("sharpose-base-256x192", alpha=0.3).num_keep() == 15
    assert resolve_config("sharpose-base-256x192", semantics="paper", alpha=0.3).num_keep() == 14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.01}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"alpha": "0.3"}, "alpha"),
        ({"image_size": [250, 192]}, "image_size"),
        ({"patch_size": 15}, "image_size"),
        ({"num_heads": 7}, "num_heads"),
        ({"depth": 0}, "depth"),
        ({"keep_rounding": "up"}, "'ceil' or 'floor'"),
        ({"quality_threshold": "high"}, "quality_threshold"),
        ({"alhpa": 0.3}, "did you mean 'alpha'"),
        ({"semantics": "official"}, "release, paper"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        create_model("sharpose-base-256x192", **options)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_models() -> None:
    with pytest.raises(InputError, match=r"sharpose-bse.*did you mean .sharpose-base-256x192"):
        create_model("sharpose-bse-256x192")
    assert "sharpose-base-384x288" in list_models()
