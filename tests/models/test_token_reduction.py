"""DynamicViT, EViT and ToMe on keypoint tokens: how many patches stay, and that dropping them equals hiding them."""

from __future__ import annotations

import pytest
import torch

from sharpose.models import create_model, resolve_config
from sharpose.models.dynamicvit.model import draw_decisions, policy_softmax
from sharpose.models.evit.config import scheduled_keep_rate
from sharpose.models.evit.model import reduce_patches
from sharpose.models.layers.token_merging import final_positions, match_tokens, merge_tokens
from sharpose.models.layers.vit import compute_densely
from sharpose.models.registry import describe, tokens_per_block
from sharpose.models.tome.config import merge_schedule


def images(model, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *model.config.image_size, generator=torch.Generator().manual_seed(0))


def nano(name: str, dense: bool = True, **options):
    torch.manual_seed(0)
    model = create_model(f"{name}-nano-128x96", **options).eval()
    # untrained predictors and attention are nearly flat, so their order would be chance
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    compute_densely(model, dense)
    return model


def test_tokens_per_block_at_paper_size():
    counts = tokens_per_block(resolve_config("dynamicvit-base-256x192"))
    assert [count - 17 for count in counts] == [192] * 3 + [134] * 3 + [94] * 3 + [65] * 3
    counts = tokens_per_block(resolve_config("evit-base-256x192"))
    assert [count - 17 for count in counts] == [192] * 4 + [136] * 3 + [97] * 3 + [69] * 2
    counts = tokens_per_block(resolve_config("tome-base-256x192"))
    assert [count - 17 for count in counts] == [192, 176, 162, 149, 138, 128, 120, 113, 108, 104, 102, 101]
    assert tokens_per_block(resolve_config("keypoint-vit-small-256x192")) == [209] * 12


def test_plans_answer_for_every_system():
    assert tokens_per_block(resolve_config("sharpose-base-256x192")) == [66] * 12 + [17 + 48 + 3 * 20] * 12
    assert tokens_per_block(resolve_config("sharpose-base-256x192", stages="coarse")) == [66] * 12
    assert tokens_per_block(resolve_config("sharpose-base-256x192", stages="fine")) == [209] * 12
    assert tokens_per_block(resolve_config("simple-baseline-r50-256x192")) is None
    described = describe(resolve_config("evit-nano-128x96"))
    assert described["system"] == "EViT" and described["reduction_blocks"] == (2, 3, 5)


@pytest.mark.parametrize("name", ["dynamicvit", "evit", "tome"])
def test_blocks_see_the_planned_number_of_tokens(name):
    model = nano(name)
    seen = []
    for block in model.blocks:
        block.norm1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    with torch.inference_mode():
        heatmaps = model(images(model)).heatmaps
    assert seen == tokens_per_block(model.config) and heatmaps.shape == (2, 17, 32, 24)
    assert seen[-1] < seen[0]


@torch.inference_mode()
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("keypoint-vit", {}),
        ("dynamicvit", {}),
        ("dynamicvit", {"reduction_blocks": (1, 5), "token_ratios": (0.7, 0.3)}),
        ("evit", {}),
        ("tome", {}),
        ("tome", {"merges_per_block": (0, 9, 0, 9, 9, 9)}),
    ],
)
def test_what_nobody_reads_is_not_computed_and_changes_nothing(name, options):
    full, thrifty = nano(name, **options), nano(name, dense=False, **options)
    passed = []
    thrifty.blocks[-1].mlp.register_forward_pre_hook(lambda _, inputs: passed.append(inputs[0].shape[1]))
    expected, found = full(images(full)), thrifty(images(full))
    assert passed == [17]
    torch.testing.assert_close(found.heatmaps, expected.heatmaps, rtol=1e-5, atol=1e-5)
    if name != "keypoint-vit":
        assert found.tokens.shape[1] == 17 < expected.tokens.shape[1]
        torch.testing.assert_close(found.tokens, expected.tokens[:, :17], rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_dropped_patches_equal_hidden_ones():
    model = nano("dynamicvit")
    pruned = model.pruned(images(model))
    decisions = [torch.zeros(2, model.config.num_patches).scatter(1, kept, 1.0) for kept in pruned.keep_indices]
    masked = model.masked(images(model), decisions)
    assert [mask.sum(dim=1).tolist() for mask in masked.masks] == [[n, n] for n in model.config.num_kept]
    torch.testing.assert_close(masked.heatmaps, pruned.heatmaps, rtol=1e-4, atol=1e-5)
    last = pruned.keep_indices[-1][..., None].expand(-1, -1, model.config.embed_dim)
    torch.testing.assert_close(masked.tokens[:, 17:].gather(1, last), pruned.tokens[:, 17:], rtol=1e-3, atol=1e-4)
    other = model.masked(images(model), [1 - d for d in decisions[:1]] + decisions[1:])
    assert (other.heatmaps - pruned.heatmaps).abs().max() > 1e-3


@torch.inference_mode()
def test_dropped_patches_of_evit_equal_hidden_ones():
    model = nano("evit", fuse_token=False)
    output, first = model(images(model)), model.config.num_keypoints
    tokens = model.embed(images(model))
    alive, left = torch.ones(2, 192), torch.arange(192).expand(2, -1)
    kept = iter(output.keep_indices)
    for index, block in enumerate(model.blocks):
        policy = torch.cat([torch.ones(2, first), alive], dim=1)
        q, k, v = block.attn.split(block.norm1(tokens))
        tokens = block.feed(tokens + block.attn.join(block.attn.mix(q, k, v, policy.log()[:, None, None])))
        if index in model.config.reduction_blocks:
            left = left.gather(1, next(kept))
            alive = torch.zeros(2, 192).scatter(1, left, 1.0)
    torch.testing.assert_close(model.heatmaps(model.norm(tokens)), output.heatmaps, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_policy_softmax_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    policy = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(policy_softmax, (logits, policy))


def test_policy_softmax_hides_dropped_keys_but_the_own():
    weights = policy_softmax(torch.zeros(1, 1, 3, 3), torch.tensor([[1.0, 1.0, 0.0]]))
    expected = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(weights[0, 0], expected, rtol=0, atol=1e-6)


def test_gradients_pass_the_gates():
    model = nano("dynamicvit").train()
    log_probs = torch.randn(2, 5, 2).log_softmax(-1).requires_grad_()
    drawn = draw_decisions(log_probs)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    (drawn * torch.arange(5.0)).sum().backward()
    assert log_probs.grad.abs().sum() > 0
    output = model(images(model))
    assert output.masks[0].shape == (2, 192) and (output.masks[1] <= output.masks[0]).all()
    output.heatmaps.square().mean().backward()
    for predictor in model.predictors:
        assert predictor.in_conv[1].weight.grad.abs().sum() > 0


def test_gradients_reach_what_evit_and_tome_drop_or_merge():
    for name in ("evit", "tome"):
        model = nano(name).train()
        model(images(model)).heatmaps.square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        # every patch has a say, if only through attention before it is dropped
        assert (model.pos_embed.grad.abs().sum(dim=2) > 0).all()


def test_fused_token_is_the_sum_weighted_with_attention():
    patches = torch.arange(8.0).reshape(1, 4, 2)
    attention = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    left, kept = reduce_patches(patches, attention, 2, fuse=True)
    assert kept.tolist() == [[1, 3]]
    torch.testing.assert_close(left[0, 2], 0.1 * patches[0, 0] + 0.2 * patches[0, 2])
    assert reduce_patches(patches, attention, 2, fuse=False)[0].shape == (1, 2, 2)


def test_keep_rate_of_evit_can_be_overridden_and_one_patch_can_be_fused():
    model = nano("evit")
    with torch.inference_mode():
        assert model(images(model), keep_rate=1.0).tokens.shape[1] == 17 + 192
        few = nano("evit", keep_rates=(0.994, 1.0, 0.5))(images(model))
    assert [kept.shape[1] for kept in few.keep_indices] == [191, 96] and few.tokens.shape[1] == 17 + 97


def test_keep_rate_schedule_is_a_cosine_from_one():
    rates = [scheduled_keep_rate(0.7, epoch, 10, 100) for epoch in (0, 9.9, 10, 60, 110, 500)]
    assert rates == pytest.approx([1, 1, 1, 0.85, 0.7, 0.7])
    assert scheduled_keep_rate(0.7, 0, 0, 0) == 0.7


def test_merge_schedules():
    assert merge_schedule(5, 0, 4) == (5, 5, 5, 5)
    assert merge_schedule(6, -1, 4) == (12, 8, 4, 0)
    assert merge_schedule(6, 1, 4) == (0, 4, 8, 12)
    assert merge_schedule(3, -1, 1) == (6,)


def test_merging_keeps_mass_and_spares_protected_tokens():
    generator = torch.Generator().manual_seed(1)
    tokens, metric = torch.randn(2, 11, 4, generator=generator), torch.randn(2, 11, 3, generator=generator)
    sizes = torch.ones(2, 11)
    matching = match_tokens(metric, 3, protected=4)
    merged, new_sizes = merge_tokens(tokens, sizes, matching)
    assert merged.shape == (2, 8, 4) and torch.equal(merged[:, :4], tokens[:, :4])
    torch.testing.assert_close((merged * new_sizes[..., None]).sum(1), tokens.sum(1))
    assert (new_sizes.sum(1) == 11).all() and (new_sizes[:, :4] == 1).all()
    where = final_positions((matching,), 2, 11)
    for image in range(2):
        assert torch.bincount(where[image], minlength=8).tolist() == new_sizes[image].tolist()
    assert match_tokens(metric, 100, protected=4).sources.shape == (2, 3)
    assert match_tokens(metric, 0, protected=4).order.shape == (2, 11)


def test_the_most_similar_pair_merges():
    metric = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.1, 1.0]]])
    matching = match_tokens(metric, 1, protected=0)
    assert (matching.sources.tolist(), matching.targets.tolist()) == ([[2]], [[3]])


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("keypoint-vit-base-256x192", {"image_size": (250, 192)}, "image_size"),
        ("keypoint-vit-base-256x192", {"num_heads": 7}, "num_heads"),
        ("keypoint-vit-base-256x192", {"norm_eps": 0}, "norm_eps"),
        ("dynamicvit-base-256x192", {"keep_rate": 0.0}, "keep_rate"),
        ("dynamicvit-base-256x192", {"keep_rate": 1.2}, "keep_rate"),
        ("dynamicvit-base-256x192", {"reduction_blocks": (3, 12)}, "reduction_blocks"),
        ("dynamicvit-base-256x192", {"token_ratios": (0.5, 0.7, 0.3)}, "token_ratios"),
        ("dynamicvit-base-256x192", {"token_ratios": (0.5,)}, "token_ratios"),
        ("evit-base-256x192", {"keep_rate": -0.1}, "keep_rate"),
        ("evit-base-256x192", {"keep_rates": (0.5, 0.5, 1.5)}, "keep_rates"),
        ("evit-base-256x192", {"reduction_blocks": (6, 3)}, "reduction_blocks"),
        ("evit-base-256x192", {"fuse_token": "no"}, "fuse_token"),
        ("tome-base-256x192", {"merges": -1}, "merges"),
        ("tome-base-256x192", {"inflection": 2}, "inflection"),
        ("tome-base-256x192", {"merges_per_block": (1, 2)}, "merges_per_block"),
    ],
)
def test_bad_values_name_their_field(name, options, field):
    with pytest.raises(ValueError, match=f"^{field} = "):
        resolve_config(name, **options)
