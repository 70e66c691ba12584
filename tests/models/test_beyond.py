"""What goes beyond the paper: as many patches as an image needs, and merging in the fine stage. Off by default."""

from __future__ import annotations

import copy

import pytest
import torch

from sharpose.backends.compiled import compile_stages
from sharpose.inference.early_exit import stream
from sharpose.models import create_model, resolve_config
from sharpose.models.layers.token_merging import merging_blocks
from sharpose.models.layers.vit import compute_densely, make_blocks
from sharpose.models.registry import describe
from sharpose.models.sharpose.config import tokens_per_block
from sharpose.models.sharpose.model import SHaRPose
from sharpose.runtime.errors import InputError

NAME = "sharpose-nano-128x96"


def tiny(**options: object) -> SHaRPose:
    torch.manual_seed(0)
    small = {"embed_dim": 24, "num_heads": 4, "depth": 4, "quality_threshold": None}
    model = create_model(NAME, **{**small, **options})
    with torch.no_grad():
        # far from zero, so that images differ in how their relevance is spread
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.6)
    if model.config.has_coarse:
        # with such weights its last GELU would say 0 of nearly everybody
        model.quality_predictor.mlp[-1] = torch.nn.Identity()
    return model.eval()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """More and more of the picture is empty."""
    images = torch.randn(6, 3, 128, 96, generator=torch.Generator().manual_seed(1))
    for row, image in enumerate(images):
        image[:, 20 * row :] = 0
    return images


# ---- as many patches as an image needs


@torch.no_grad()
def test_every_image_keeps_its_own_number_alone_and_in_any_batch(images: torch.Tensor) -> None:
    model = tiny(alpha_mass=0.8)
    output = model(images)
    counts = output.num_kept
    assert len(set(counts.tolist())) > 1 and set(counts.tolist()) <= set(model.config.keep_sizes)
    order = torch.tensor([5, 2, 0, 4, 1, 3])
    for rows in (*torch.arange(6)[:, None], order):
        other = model(images[rows])
        torch.testing.assert_close(other.heatmaps, output.heatmaps[rows], rtol=1e-4, atol=1e-5)
        assert torch.equal(other.num_kept, counts[rows])
        width = other.keep_indices.shape[1]
        assert torch.equal(other.keep_indices, output.keep_indices[rows, :width])


@torch.no_grad()
def test_an_image_gets_what_a_fixed_alpha_of_its_number_gives(images: torch.Tensor) -> None:
    output, fixed = tiny(alpha_mass=0.8)(images), tiny()
    for row, count in enumerate(output.num_kept.tolist()):
        expected = fixed(images[row : row + 1], count / 48)
        torch.testing.assert_close(output.heatmaps[row : row + 1], expected.heatmaps, rtol=1e-4, atol=1e-5)
        assert torch.equal(output.keep_indices[row, :count], expected.keep_indices[0])
        assert (output.keep_indices[row, count:] == -1).all()


@torch.no_grad()
def test_all_of_the_mass_takes_every_patch_and_none_takes_none(images: torch.Tensor) -> None:
    for share in (0.0, 1.0):
        torch.testing.assert_close(tiny(alpha_mass=share)(images).heatmaps, tiny(alpha=share)(images).heatmaps)
    counts = [tiny(alpha_mass=share)(images).num_kept for share in (0.2, 0.5, 0.8)]
    assert (counts[1] >= counts[0]).all() and (counts[2] >= counts[1]).all()


@torch.no_grad()
def test_alpha_of_a_call_goes_before_the_mass(images: torch.Tensor) -> None:
    assert tiny(alpha_mass=0.9)(images, 0.25).num_kept.tolist() == [12] * 6


@torch.no_grad()
def test_those_who_leave_early_keep_none(images: torch.Tensor) -> None:
    quality = tiny()(images).quality.sort().values
    model = tiny(alpha_mass=0.8, quality_threshold=float(quality[2:4].mean()))
    output = model(images)
    assert output.num_kept[~output.needs_refinement].tolist() == [0, 0, 0]
    everybody = tiny(alpha_mass=0.8)(images)
    assert torch.equal(output.num_kept[output.needs_refinement], everybody.num_kept[output.needs_refinement])
    streamed = torch.cat([part.heatmaps for part in stream(model, images.split(2), batch_size=2)])
    torch.testing.assert_close(streamed, output.heatmaps, rtol=1e-4, atol=1e-5)
    assert tiny(quality_threshold=-1e9)(images).num_kept.tolist() == [0] * 6
    assert tiny(stages="fine")(images).num_kept is None
    assert model.fine(images[:0], model.coarse(images[:0])).heatmaps.shape == (0, 17, 32, 24)


@torch.no_grad()
def test_a_compiled_model_has_a_fine_graph_per_number(images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    model = tiny(alpha_mass=0.8)
    expected = model(images)
    compile_stages(model, [1, 4], cuda=False)
    found = model(images)
    torch.testing.assert_close(found.heatmaps, expected.heatmaps, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.keep_indices, expected.keep_indices)
    with pytest.raises(InputError, match="compiled for"):
        model.fine(images, model.coarse(images), 4 / 48)


# ---- merging in the fine stage


@torch.no_grad()
@pytest.mark.parametrize("options", [{"fine_merge": 5}, {"fine_merge": 60}, {"fine_merge": 9, "stages": "fine"}])
def test_blocks_see_the_planned_number_of_tokens(images: torch.Tensor, options: dict[str, object]) -> None:
    model, seen = tiny(**options), list[int]()
    for block in model.blocks:
        block.norm1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    output = model(images[:2])
    assert output.heatmaps.shape == (2, 17, 32, 24)
    plan = tokens_per_block(model.config)
    # the last blocks of a pass normalise queries once more, and complete the coarse stage where they are asked
    assert seen[-4:-1] == plan[-4:-1] and plan[-1] in seen[-2:] and plan[-1] < plan[-4]


@torch.no_grad()
def test_no_merges_are_off_and_some_change_little(images: torch.Tensor) -> None:
    plain = tiny()(images).heatmaps
    assert torch.equal(tiny(fine_merge=0)(images).heatmaps, plain)
    merged = tiny(fine_merge=4)(images)
    assert not torch.equal(merged.heatmaps, plain)
    full = tiny(fine_merge=4)
    compute_densely(full)
    torch.testing.assert_close(full(images).heatmaps, merged.heatmaps, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("protected", [2, 3])
def test_merging_equal_tokens_is_exact(protected: int) -> None:
    torch.manual_seed(0)
    blocks = make_blocks(3, 24, 4, 4, 0.0).eval()
    # equal neighbours, of which one is a source and the other a target
    learned, patches = torch.randn(2, protected, 24), torch.randn(2, 7, 24).repeat_interleave(2, dim=1)
    tokens = torch.cat([learned, patches], dim=1)
    found, sizes, matchings = merging_blocks(blocks, tokens, (7, 0, 0), protected, last_dense=True)
    assert sizes[0].tolist() == [1.0] * protected + [2.0] * 7 and len(matchings) == 1
    torch.testing.assert_close(found[:, :protected], blocks(tokens)[:, :protected], rtol=1e-5, atol=1e-5)
    read, _, _ = merging_blocks(blocks, tokens, (7, 0, 0), protected)
    torch.testing.assert_close(read, blocks(tokens, protected), rtol=1e-5, atol=1e-5)


def test_it_can_be_trained_through(images: torch.Tensor) -> None:
    model = tiny(fine_merge=6, alpha_mass=0.6).train()
    model(images).heatmaps.square().mean().backward()
    gradient = model.patch_embed.proj.weight.grad
    assert gradient is not None and gradient.isfinite().all() and gradient.abs().sum() > 0


# ---- options


def test_what_is_off_is_not_part_of_a_models_description() -> None:
    plain = describe(resolve_config(NAME))
    assert "alpha_mass" not in plain and "fine_merge" not in plain
    on = describe(resolve_config(NAME, alpha_mass=0.8, fine_merge=2))
    assert on == {**plain, "alpha_mass": 0.8, "fine_merge": 2}
    assert describe(resolve_config(NAME, alpha_mass=None, fine_merge=0)) == plain


def test_sizes_are_sixteenths() -> None:
    assert resolve_config(NAME).keep_sizes == tuple(range(0, 49, 3))
    assert resolve_config("sharpose-nano-192x144").keep_sizes[:6] == (0, 7, 14, 21, 27, 34)


@pytest.mark.parametrize(
    ("option", "value"),
    [("alpha_mass", 1.1), ("alpha_mass", "all"), ("fine_merge", -1), ("fine_merge", 1.5), ("fine_merge", None)],
)
def test_bad_values_are_named(option: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{option} = "):
        resolve_config(NAME, **{option: value})


def test_weights_are_those_of_the_plain_model() -> None:
    plain, extended = tiny(), tiny(alpha_mass=0.8, fine_merge=3)
    extended.load_state_dict(copy.deepcopy(plain.state_dict()))
