"""Recipes, learning rates and parameter groups; the reference's values are in the conformance cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from experiments.conformance.run import run_case
from sharpose.models import create_model
from sharpose.runtime.errors import InputError
from sharpose.training.optim import learning_rate, make_optimizer, parameter_rule
from sharpose.training.recipe import Recipe, load_recipe


@pytest.mark.parametrize("case", ["lr_schedule", "optimizer_groups_sharpose", "optimizer_groups_vitpose"])
def test_equal_to_the_reference(golden: Callable[[str], Path], case: str) -> None:
    assert run_case(golden(case)).status == "passed"


def test_linear_decay_ends_at_zero_and_starts_late() -> None:
    recipe = Recipe(epochs=10, linear_decay_epochs=2, milestones=(), warmup_iterations=0, learning_rate=1.0)
    rates = [learning_rate(recipe, i, 100) for i in (0, 799, 800, 900, 999)]
    assert rates == pytest.approx([1, 1, 1, 0.5, 0.005])


def test_every_parameter_is_optimised_once() -> None:
    model = create_model("sharpose-nano-128x96")
    optimizer = make_optimizer(model.named_parameters(), 6, Recipe(layer_decay=0.5, weight_decay=0.1))
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len(list(model.parameters())) == len({id(p) for p in grouped})


def test_each_system_gets_its_optimiser() -> None:
    model = create_model("hrnet-nano-128x96")
    adam = make_optimizer(model.named_parameters(), 0, load_recipe("hrnet"))
    assert type(adam) is torch.optim.Adam
    assert {group["weight_decay"] for group in adam.param_groups} == {0.0}
    assert {group["lr_scale"] for group in adam.param_groups} == {1.0}
    assert type(make_optimizer(model.named_parameters(), 0, load_recipe("hrformer"))) is torch.optim.AdamW


@pytest.mark.parametrize(
    ("name", "ndim", "scale", "decay"),
    [
        ("patch_embed.proj.weight", 4, 0.5**13, 0.1),
        ("coarse_pos_embed", 3, 0.5**13, 0.0),
        ("blocks.0.attn.qkv.weight", 2, 0.5**12, 0.1),
        ("blocks.11.norm1.weight", 1, 0.5, 0.0),
        ("head.layers.1.weight", 2, 1.0, 0.1),
        ("head.layers.1.bias", 1, 1.0, 0.0),
    ],
)
def test_layer_decay(name: str, ndim: int, scale: float, decay: float) -> None:
    assert parameter_rule(name, ndim, 12, 0.5, 0.1) == (pytest.approx(scale), decay)


def test_named_recipes_are_the_published_ones() -> None:
    base = load_recipe("sharpose-base")
    assert (base.learning_rate, base.epochs, base.milestones, base.batch_size) == (5e-4, 210, (170, 200), 256)
    assert (base.quality_start_epoch, base.quality_weight, base.sigma) == (180, 0.03, 2)
    assert load_recipe("sharpose-base-384x288").layer_decay == 0.7
    assert load_recipe("sharpose-small-256x192").batch_size == 512


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochz: 3\n", "epochz: extra inputs"),
        ("epochs: -1\n", "epochs: it must be greater than 0"),
        ("epochs: [\n", "not YAML"),
    ],
)
def test_a_bad_recipe_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_recipe_lists_the_names() -> None:
    with pytest.raises(InputError, match=r"no recipe is called 'nonsense'; recipes: .*nano"):
        load_recipe("nonsense")


def test_tokens_and_positions_can_learn_at_the_full_rate() -> None:
    names = ("keypoint_tokens", "fine_pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
    scales = [parameter_rule(name, 3, 12, 0.75, 0.1, decay_embeddings=False).lr_scale for name in names]
    assert scales == [1.0, 1.0, 0.75**13, 0.75**12]
