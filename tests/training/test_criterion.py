"""The losses of a step: what they compare, and the quality target."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sharpose.codecs.udp import UdpCodec
from sharpose.data.coco import CocoTopDown
from sharpose.models import create_model
from sharpose.models.layers.tokens import mixed_shares
from sharpose.pose.skeleton import COCO
from sharpose.runtime.errors import InputError
from sharpose.training.criterion import SHaRPoseCriterion, criterion_for
from sharpose.training.loop import step_plan
from sharpose.training.losses import attention_cross_entropy, heatmap_cross_entropy, heatmap_loss, joint_mse
from sharpose.training.recipe import Recipe
from sharpose.training.step_plan import StepPlan


def test_joint_mse_counts_invisible_keypoints_as_right() -> None:
    predicted, target = torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)
    assert joint_mse(predicted, target, torch.tensor([[1.0, 0.0], [1.0, 1.0]])).item() == 0.75


def make(people: CocoTopDown, oks_target: str) -> tuple[SHaRPoseCriterion, dict[str, torch.Tensor]]:
    small = {"embed_dim": 24, "num_heads": 4, "depth": 2}
    model = create_model("sharpose-nano-128x96", **small, oks_target=oks_target)
    codec = UdpCodec((128, 96), (32, 24), sigma=1.5)
    batch = torch.utils.data.default_collate([people[i] for i in range(6)])
    return SHaRPoseCriterion(model, codec, COCO.sigmas, Recipe()), batch


def test_a_perfect_prediction_has_quality_one(people: CocoTopDown) -> None:
    criterion, batch = make(people, "paper")
    targets, weights = criterion.codec.encode(batch["keypoints"], batch["visible"])
    oks, labelled = criterion.true_quality(targets, targets, weights, batch)
    assert labelled.all() and (oks > 0.97).all()
    moved = targets.roll(6, dims=3)
    worse, _ = criterion.true_quality(moved, targets, weights, batch)
    assert (worse < 0.5).all()


def test_release_target_differs_from_the_papers(people: CocoTopDown) -> None:
    criterion, batch = make(people, "release")
    targets, weights = criterion.codec.encode(batch["keypoints"], batch["visible"])
    moved = targets.roll(1, dims=3)
    released, _ = criterion.true_quality(moved, targets, weights, batch)
    criterion, _ = make(people, "paper")
    published, _ = criterion.true_quality(moved, targets, weights, batch)
    assert not torch.allclose(released, published, atol=1e-3)


def test_losses_by_plan(people: CocoTopDown) -> None:
    criterion, batch = make(people, "paper")
    assert set(criterion(batch, StepPlan(None, True, 0.0))) == {"coarse"}
    assert set(criterion(batch, StepPlan(0.3, False, 0.0))) == {"coarse", "fine"}
    losses = criterion(batch, StepPlan(0.3, False, 0.03))
    assert set(losses) == {"coarse", "fine", "quality"}
    sum(losses.values()).backward()
    assert criterion.model.quality_token.grad.abs().sum() > 0


def test_cross_entropy_falls_toward_the_target_and_pulls_at_the_keypoint() -> None:
    codec = UdpCodec((128, 96), (32, 24), sigma=1.5)
    targets, weights = codec.encode(torch.tensor([[[40.0, 60.0], [900.0, 900.0]]]), torch.ones(1, 2))
    zero = torch.zeros_like(targets, requires_grad=True)
    loss = heatmap_cross_entropy(zero, targets, weights)
    # uniform over the pixels for the keypoint inside; the one outside does not count
    assert torch.isclose(loss, torch.tensor(32 * 24.0).log() / 2)
    loss.backward()
    peak = targets[0, 0].argmax()
    assert zero.grad[0, 0].flatten().argmin() == peak and zero.grad[0, 1].abs().max() == 0
    assert heatmap_cross_entropy(targets, targets, weights) < 0.85 * loss
    plan = StepPlan(alpha=None, coarse_only=False, quality_weight=0.0, cross_entropy=0.5)
    both = heatmap_loss(zero, targets, weights, plan)
    assert torch.isclose(both, joint_mse(zero, targets, weights) + 0.5 * loss)


def test_cross_entropy_fades() -> None:
    recipe = Recipe(epochs=4, cross_entropy=0.2, cross_entropy_epochs=2)
    assert [step_plan(recipe, step, 10, 0).cross_entropy for step in (0, 10, 20, 30)] == [0.2, 0.1, 0.0, 0.0]


def test_attention_is_guided_to_the_patches_of_the_keypoint() -> None:
    codec = UdpCodec((128, 96), (32, 24), sigma=1.5)
    # in the middle of the patch in row 2, column 1 of 8 x 6; outside of the crop
    targets, weights = codec.encode(torch.tensor([[[24.0, 40.0], [900.0, 900.0]]]), torch.ones(1, 2))
    even = torch.full((1, 2, 2, 48), 1 / 48, requires_grad=True)
    wanted = F.adaptive_avg_pool2d(targets, (8, 6))
    loss = attention_cross_entropy(even, wanted, weights)
    assert torch.isclose(loss, torch.tensor(48.0).log() / 2)
    loss.backward()
    assert (even.grad[0, :, 0].argmin(dim=1) == 2 * 6 + 1).all() and even.grad[0, :, 1].abs().max() == 0
    right = torch.full((1, 2, 2, 48), 1e-3)
    right[..., 13] = 1 - 47e-3
    assert attention_cross_entropy(right, wanted, weights) < loss


def test_a_fine_stages_tokens_share_each_map_among_them() -> None:
    maps = torch.rand(2, 3, 32, 24)
    keep = torch.tensor([[13, 0], [5, 47]])
    rest = torch.stack([torch.tensor([i for i in range(48) if i not in own]) for own in keep.tolist()])
    shares = mixed_shares(maps, keep, rest, (8, 6), 2)
    assert shares.shape == (2, 3, 2 * 4 + 46)
    # a fine patch covers 2 x 2 pixels here, a coarse one 4 x 4; row 2, column 1 is patch 13
    assert torch.allclose(4 * shares.sum(dim=2), maps.sum(dim=(2, 3)))
    assert torch.allclose(4 * shares[0, :, 0], maps[0, :, 8:10, 4:6].sum(dim=(1, 2)))
    assert torch.allclose(4 * shares[0, :, 6], maps[0, :, 10:12, 6:8].sum(dim=(1, 2)))
    assert torch.allclose(4 * shares[1, :, 8], maps[1, :, :4, :4].sum(dim=(1, 2)))


@pytest.mark.parametrize("name", ["sharpose-nano-128x96", "dvt-nano-128x96"])
@pytest.mark.parametrize("drop_path", [0.0, 0.1])
def test_guiding_attention_changes_no_output_and_gives_it_a_gradient(people: CocoTopDown, name, drop_path) -> None:
    model = create_model(name, embed_dim=24, num_heads=4, depth=3, drop_path=drop_path).eval()
    images = torch.rand(2, 3, 128, 96)
    before = model(images)
    codec = UdpCodec((128, 96), (32, 24), sigma=1.5)
    criterion = criterion_for(model, codec, COCO.sigmas, Recipe(attention=0.01))
    after = model(images)
    for each in ("heatmaps", "coarse_heatmaps", "quality", "relevance", "keep_indices"):
        assert torch.equal(getattr(before, each), getattr(after, each))
    assert before.looks is None and after.looks.shape == (2, 1, 17, 48)
    assert torch.allclose(after.looks.sum(dim=3), torch.ones(2, 1, 17))
    # DVT's fine stage has blocks of its own, which are left alone
    fine = set() if after.fine_looks is None else {"fine_attention"}
    assert bool(fine) == name.startswith("sharpose")
    batch = torch.utils.data.default_collate([people[i] for i in range(2)])
    guided = {"coarse_attention"}
    for coarse_only, names in ((True, {"coarse"} | guided), (False, {"coarse", "fine"} | guided | fine)):
        losses = criterion(batch, StepPlan(None, coarse_only, 0.0))
        assert set(losses) == names
        for each in {name for name in losses if name.endswith("_attention")}:
            # about as much as looking everywhere alike: log of 48, or of as many tokens as the fine stage has
            assert 0.025 < losses[each] / batch["visible"].mean() < 0.065
            (gradient,) = torch.autograd.grad(losses[each], model.blocks[-1].attn.qkv.weight, retain_graph=True)
            assert gradient.abs().max() > 0


def test_a_fine_stage_alone_is_guided_over_every_patch(people: CocoTopDown) -> None:
    model = create_model("sharpose-nano-128x96", stages="fine", embed_dim=24, num_heads=4, depth=3)
    criterion = criterion_for(model, UdpCodec((128, 96), (32, 24), sigma=1.5), COCO.sigmas, Recipe(attention=0.01))
    batch = torch.utils.data.default_collate([people[i] for i in range(2)])
    losses = criterion(batch, StepPlan(None, False, 0.0))
    assert set(losses) == {"fine", "fine_attention"}
    # looking everywhere alike would be log 192
    assert 0.04 < losses["fine_attention"] / batch["visible"].mean() < 0.06


def test_attention_that_is_not_there_cannot_be_guided() -> None:
    codec = UdpCodec((128, 96), (32, 24), sigma=1.5)
    with pytest.raises(InputError, match="attention: only SHaRPose and DVT"):
        criterion_for(create_model("vitpose-nano-128x96"), codec, COCO.sigmas, Recipe(attention=0.01))
    for options in ({"fine_merge": 2}, {"stages": "fine", "fine_merge": 2}, {"alpha_mass": 0.7}):
        with pytest.raises(InputError, match="attention: it does not go with fine_merge or alpha_mass"):
            criterion_for(create_model("sharpose-nano-128x96", **options), codec, COCO.sigmas, Recipe(attention=0.01))


def test_a_teacher_of_nobody_is_refused() -> None:
    codec = UdpCodec((128, 96), (32, 24), sigma=1.5)
    with pytest.raises(InputError, match="teacher: only DynamicViT learns from one"):
        criterion_for(create_model("vitpose-nano-128x96"), codec, COCO.sigmas, Recipe(teacher="t.safetensors"))
