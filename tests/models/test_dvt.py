"""DVT: without reuse the fine stage is the plain ViT; what is reused arrives where it belongs; the sure exit early."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sharpose.backends.graphs import graphs_of
from sharpose.codecs.choice import codec_of
from sharpose.models import create_model, resolve_config
from sharpose.models.dvt.model import DVT, ReusingBlock
from sharpose.models.layers.vit import use_explicit_attention
from sharpose.pose.skeleton import COCO
from sharpose.runtime.errors import InputError
from sharpose.training.criterion import criterion_for
from sharpose.training.recipe import load_recipe, own_recipe
from sharpose.training.step_plan import StepPlan

NAME = "dvt-nano-128x96"
TINY = {"embed_dim": 24, "num_heads": 2, "depth": 3, "context_dim": 4}


def two_looks(**options: Any) -> DVT:
    torch.manual_seed(0)
    return create_model(NAME, **{**TINY, "quality_threshold": None, **options}).eval()


@torch.inference_mode()
def test_without_reuse_the_second_look_is_the_keypoint_vit() -> None:
    model = two_looks(context_dim=0, relation_reuse=False)
    plain = create_model("keypoint-vit-nano-128x96", embed_dim=24, num_heads=2, depth=3, norm_eps=1e-5).eval()
    shared = ("patch_embed.", "head.", "keypoint_tokens")
    state = {name: value for name, value in model.state_dict().items() if name.startswith(shared)}
    for name, value in model.state_dict().items():
        if name.startswith("fine_"):
            state[name.removeprefix("fine_")] = value
    plain.load_state_dict(state)
    images = torch.randn(2, 3, 128, 96)
    torch.testing.assert_close(model(images).heatmaps, plain(images).heatmaps, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_the_first_look_is_sharposes() -> None:
    model = two_looks()
    other = create_model("sharpose-nano-128x96", stages="coarse", embed_dim=24, num_heads=2, depth=3).eval()
    other.load_state_dict({name: model.state_dict()[name] for name in other.state_dict()})
    images = torch.randn(2, 3, 128, 96)
    ours, theirs = model.coarse(images), other.coarse(images)
    for name in ("keypoint_tokens", "quality", "relevance", "patch_inputs"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-5, rtol=1e-4)
    assert ours.relations.shape == (2, 3 * 2, 17 + 48, 17 + 48)
    rebuilt = model.as_stage(list(ours.tensors().values()))
    assert rebuilt.tensors().keys() == ours.tensors().keys() and rebuilt.relations is ours.relations


@torch.inference_mode()
def test_relations_are_those_of_the_coarse_patch_of_every_fine_one() -> None:
    model = two_looks()
    model.relation_mlp = torch.nn.Identity()
    coarse = model.coarse(torch.randn(1, 3, 128, 96))
    found = list(model.reused_relations(coarse))
    assert len(found) == 3 and found[0].shape == (1, 2, 17 + 192, 17 + 192)
    # the fine patch at row 5, column 7 of 16x12 lies in the coarse one at row 2, column 3 of 8x6
    fine, cell = 17 + 5 * 12 + 7, 17 + 2 * 6 + 3
    assert torch.equal(found[2][0, 1, fine, :17], coarse.relations[0, 2 * 2 + 1, cell, :17])
    assert torch.equal(found[1][0, 0, 4, fine], coarse.relations[0, 1 * 2 + 0, 4, cell])


@torch.inference_mode()
def test_features_reach_patches_alone_and_change_them() -> None:
    torch.manual_seed(0)
    config = resolve_config(NAME, **TINY)
    block, tokens, context = ReusingBlock(config, 0.0, 4).eval(), torch.randn(1, 5, 24), torch.zeros(1, 5, 4)
    context[:, 3:] = 1.0
    with_none, with_some = block(tokens, torch.zeros_like(context), None), block(tokens, context, None)
    assert torch.equal(with_none[:, :3], with_some[:, :3]) and not torch.allclose(with_none[:, 3:], with_some[:, 3:])
    # no relations, and none that tell keys apart, are the same; fused attention or explicit matrices, too
    relations = torch.randn(1, 2, 5, 1).expand(-1, -1, -1, 5)
    torch.testing.assert_close(block(tokens, context, relations), with_some, atol=1e-5, rtol=1e-4)
    skewed = torch.randn(1, 2, 5, 5)
    fused = block(tokens, context, skewed)
    assert not torch.allclose(fused, with_some, atol=1e-3)
    use_explicit_attention(block)
    torch.testing.assert_close(block(tokens, context, skewed), fused, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_who_is_sure_leaves_and_all_others_look_at_everything() -> None:
    model, images = two_looks(), torch.randn(3, 3, 128, 96)
    everyone = model(images)
    assert everyone.needs_refinement.all() and everyone.num_kept.tolist() == [48, 48, 48]
    threshold = float(everyone.quality.sort().values[1:].mean())
    some = two_looks(quality_threshold=threshold)
    output, again = some(images), everyone.quality < threshold
    assert 0 < int(again.sum()) < 3 and torch.equal(output.needs_refinement, again)
    torch.testing.assert_close(output.heatmaps[again], everyone.heatmaps[again], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(output.heatmaps[~again], everyone.coarse_heatmaps[~again], atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match="leave α at 1"):
        model(images, 0.5)


@torch.inference_mode()
def test_both_looks_are_static_graphs() -> None:
    model, images = two_looks(), torch.randn(2, 3, 128, 96)
    first, second = graphs_of(model)
    assert (first.name, second.name) == ("coarse", "fine") and "relations" in first.outputs
    stage = dict(zip(first.outputs, first.module(images), strict=True))
    given = [stage[name.removeprefix("coarse_")] for name in second.inputs if name != "images"]
    found = dict(zip(second.outputs, second.module(images, *given), strict=True))
    torch.testing.assert_close(found["heatmaps"], model(images).heatmaps, atol=1e-5, rtol=1e-4)


def test_two_steps_teach_every_parameter() -> None:
    torch.manual_seed(0)
    model = create_model(NAME, **TINY).train()
    before = {key: value.clone() for key, value in model.named_parameters()}
    criterion = criterion_for(model, codec_of(model.config), COCO.sigmas, load_recipe(own_recipe(NAME)))
    step = {
        "image": torch.randint(0, 256, (2, 3, 128, 96), dtype=torch.uint8),
        "keypoints": 90 * torch.rand(2, 17, 2),
        "visible": torch.ones(2, 17),
        "scale": torch.tensor([[96.0, 128.0]] * 2),
        "area": torch.full((2,), 6000.0),
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        losses = criterion(step, StepPlan(alpha=0.4, coarse_only=False, quality_weight=0.03))
        assert losses.keys() == {"coarse", "fine", "quality"}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert not [key for key, value in model.named_parameters() if torch.equal(value, before[key])]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"alpha": 0.5}, "alpha"),
        ({"stages": "coarse"}, "stages"),
        ({"fine_merge": 2}, "fine_merge"),
        ({"alpha_mass": 0.5}, "alpha_mass"),
        ({"context_dim": -1}, "context_dim"),
        ({"relation_reuse": 1}, "relation_reuse"),
    ],
)
def test_bad_fields_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field} = "):
        resolve_config(NAME, **options)
