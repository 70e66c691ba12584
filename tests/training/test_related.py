"""Systems beside the paper's: each goes through the loop that all are trained by, and is timed like all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sharpose.data.coco import CocoTopDown
from sharpose.efficiency.throughput import measure_throughput
from sharpose.efficiency.variants import Variant
from sharpose.models import create_model
from sharpose.models.registry import find
from sharpose.training.engine import Run, train
from sharpose.training.recipe import load_recipe, own_recipe

TINY = {"embed_dim": 24, "num_heads": 2, "depth": 2}
QUERIES = {"embed_dim": 32, "num_heads": 2, "hidden_dim": 48, "resnet_channels": 8, "stem_channels": 8}
SYSTEMS: dict[str, dict[str, Any]] = {
    "transpose-r-nano-128x96": TINY,
    "transpose-h-nano-128x96": TINY,
    "hourglass-nano-128x96": {"features": 16},
    "prtr-nano-128x96": QUERIES,
    "tfpose-nano-128x96": QUERIES,
    "quadtree-nano-128x96": TINY,
    "dvt-nano-128x96": {**TINY, "quality_threshold": None},
}


@pytest.mark.parametrize(("name", "options"), SYSTEMS.items())
def test_two_steps_of_its_recipe_are_taken(
    name: str, options: dict[str, Any], people: CocoTopDown, tmp_path: Path
) -> None:
    short = {"epochs": 1, "batch_size": 12, "warmup_iterations": 0, "milestones": ()}
    short |= {"coarse_only_epochs": 0, "linear_decay_epochs": 0}
    recipe = load_recipe(own_recipe(name)).model_copy(update={**short, "model_options": options, "augment": False})
    run = Run(name, recipe, people, tmp_path / "run", seed=3)
    torch.manual_seed(run.seed)
    first = create_model(name, **options).state_dict()
    model, _ = train(run)
    learned = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    after = {key: value for key, value in model.state_dict().items() if key in learned}
    assert all(bool(value.isfinite().all()) for value in after.values())
    # all but what only a later epoch of the recipe teaches
    still = {key for key, value in after.items() if torch.equal(value, first[key])}
    assert not {key for key in still if "quality" not in key}


def test_all_are_timed() -> None:
    variants = {name: Variant(name, options, 2) for name, options in SYSTEMS.items()}
    exits = {"dvt, half": Variant("dvt-nano-128x96", {**TINY, "quality_threshold": None}, 2, refine_rate=0.5)}
    found = measure_throughput({**variants, **exits}, rounds=1, warmup=0)
    assert all(one["images_per_s"] > 0 for one in found.values()) and found["dvt, half"]["refine_rate"] == 0.5


def test_each_is_a_system_of_its_own() -> None:
    assert len({find(name).name for name in SYSTEMS}) == 6
