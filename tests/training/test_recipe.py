"""Recipes as files: what they say about random crops."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sharpose.data.augment import Augmentation
from sharpose.models import list_models
from sharpose.runtime.errors import InputError
from sharpose.training.recipe import FOLDER, Recipe, load_recipe, own_recipe


def test_augmentation_is_the_papers_none_or_changed() -> None:
    assert Recipe(augment=True).augmentation == Augmentation()
    assert Recipe(augment=False).augmentation is None
    assert Recipe(augment={"rotation": 15}).augmentation == Augmentation(rotation=15)


def test_unknown_strength_names_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("augment: {rotate: 15}\n")
    with pytest.raises(InputError, match=r"mine.yaml.*augment.*'rotate'.*rotation"):
        load_recipe(path)


@pytest.mark.parametrize(
    "text", ["alphas: [0.5, 2]", "betas: [0.9, 1]", "milestones: [-3]", "keep_rate_schedule: [1, -1]"]
)
def test_numbers_inside_lists_have_their_ranges(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"mine.yaml: {text.partition(':')[0]}\.\d: it must be (greater|less) than"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("model", "recipe"),
    [
        ("sharpose-base-384x288", "sharpose-base-384x288"),
        ("vitpose-base-256x192", "vitpose-base"),
        ("vitpose-base-384x288", "vitpose-base-384x288"),
        ("vitpose-base-simple-256x192", "vitpose-base"),
        ("simple-baseline-r152-256x192", "simple-baseline"),
        ("simple-baseline-r50-384x288", "simple-baseline-384x288"),
        ("hrnet-w48-256x256", "hrnet-256x256"),
        ("simple-baseline-r152-256x256", "simple-baseline-256x256"),
        ("hrformer-base-384x288", "hrformer-base-384x288"),
        ("hrformer-small-384x288", "hrformer-384x288"),
        ("tokenpose-l-d24-384x288", "tokenpose-l-384x288"),
        ("tokenpose-t-256x256", "tokenpose-t-256x256"),
        ("okdhp-hourglass-4-256x256", "okdhp"),
        ("evit-small-256x192", "evit"),
        ("hrnet-nano-128x96", "generated-nano"),
        ("sharpose-nano-192x144", "generated-nano"),
    ],
)
def test_a_model_is_trained_by_the_recipe_of_its_name(model: str, recipe: str) -> None:
    assert own_recipe(model) == recipe


def test_every_model_has_a_recipe_and_every_recipe_is_sound() -> None:
    for name in list_models():
        assert load_recipe(own_recipe(name)).epochs > 0, name
    for path in FOLDER.glob("*.yaml"):
        recipe = load_recipe(path)
        assert recipe.starts_from or "nano" in path.stem, path.stem


@pytest.mark.parametrize(
    ("name", "values"),
    [
        # optimiser, learning rate, weight decay, layer decay, milestones, epochs, clip, loss factor, sigma
        ("vitpose-small", ("adamw", 5e-4, 0.1, 0.8, (170, 200), 210, 1.0, 1.0, 2)),
        ("vitpose-base", ("adamw", 5e-4, 0.1, 0.75, (170, 200), 210, 1.0, 1.0, 2)),
        ("sharpose-base", ("adamw", 5e-4, 0.1, 0.75, (170, 200), 210, None, 1.0, 2)),
        ("sharpose-small-384x288", ("adamw", 5e-4, 0.1, 0.8, (170, 200), 250, None, 1.0, 3)),
        ("simple-baseline", ("adam", 1e-3, 0, 1, (90, 120), 140, None, 0.5, 2)),
        ("hrnet", ("adam", 1e-3, 0, 1, (170, 200), 210, None, 0.5, 2)),
        ("hrnet-udp-384x288", ("adam", 5e-4, 0, 1, (170, 200), 210, None, 1.0, 3)),
        ("hrnet-dark", ("adam", 5e-4, 0, 1, (170, 200), 210, None, 1.0, 2)),
        ("hrformer", ("adamw", 5e-4, 0.01, 1, (170, 200), 210, None, 1.0, 2)),
        ("tokenpose-l", ("adam", 1e-3, 0, 1, (200, 260), 300, None, 0.5, 2)),
        ("okdhp", ("adam", 2.5e-4, 0, 1, (120, 140), 150, None, 0.5, 2)),
    ],
)
def test_published_recipes(name: str, values: tuple[object, ...]) -> None:
    r = load_recipe(name)
    ours = r.optimizer, r.learning_rate, r.weight_decay, r.layer_decay, r.milestones, r.epochs
    assert (*ours, r.gradient_clip, r.loss_factor, r.sigma) == values


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("sharpose-base", 4 * 64),
        ("sharpose-small-256x192", 4 * 128),
        ("vitpose-base", 8 * 64),
        ("simple-baseline", 32),
        ("simple-baseline-384x288", 32),
        ("hrnet", 4 * 32),
        ("hrnet-384x288", 4 * 24),
        ("hrnet-256x256", 4 * 32),
        ("hrformer", 8 * 32),
        ("hrformer-base-384x288", 8 * 8),
        ("tokenpose-t", 4 * 32),
        ("tokenpose-l", 4 * 16),
        ("tokenpose-l-256x256", 4 * 16),
        ("tokenpose-l-384x288", 8 * 32),
        ("okdhp", 16),
    ],
)
def test_published_batches(name: str, batch: int) -> None:
    assert load_recipe(name).batch_size == batch


def test_a_published_recipe_says_which_of_its_values_are_our_own_choice() -> None:
    for path in FOLDER.glob("*.yaml"):
        comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert "nano" in path.stem or any("Ours: " in line for line in comment), path.stem


def test_published_random_crops() -> None:
    assert load_recipe("vitpose-base").augmentation == Augmentation(shift=0.2, shift_of="box")
    assert load_recipe("sharpose-base").augmentation == Augmentation()
    hrnet = load_recipe("hrnet").augmentation
    assert hrnet == Augmentation(shift_probability=0, half_body_probability=0.3, scale=0.35, rotation=45)
    for name in ("hrnet-256x256", "simple-baseline-256x256", "tokenpose-l-256x256", "okdhp"):
        mpii = Augmentation(shift_probability=0, half_body_probability=0, scale=0.25, rotation=30)
        assert load_recipe(name).augmentation == mpii, name
    assert load_recipe("hrnet-dark").model_options == {"codec": "dark"}


def test_a_recipe_in_small_keeps_its_proportions() -> None:
    whole = load_recipe("photos-nano").model_copy(update={"keep_rate_schedule": (0, 5), "milestones": (4.0, 8.0)})
    small = whole.shortened(0.25)
    assert (small.epochs, small.linear_decay_epochs, small.coarse_only_epochs) == (3.73, 3.73, 1.5)
    assert (small.quality_start_epoch, small.keep_rate_schedule, small.milestones) == (2, (0, 1.25), (1.0, 2.0))
    assert small.warmup_iterations == 100
    # only lengths change
    changed = {"epochs", "linear_decay_epochs", "coarse_only_epochs", "quality_start_epoch", "cross_entropy_epochs"}
    changed |= {"keep_rate_schedule", "milestones", "warmup_iterations"}
    assert small.model_dump(exclude=changed) == whole.model_dump(exclude=changed)
    assert load_recipe("photos-nano").shortened(0.5).keep_rate_schedule is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer: sgd\n", "optimizer: it must be 'adamw' or 'adam'"),
        ("optimizer: adam\nweight_decay: 0.1\n", "set weight_decay: 0"),
        ("gradient_clip: 0\n", "gradient_clip"),
        ("augment: {shift_of: boxes}\n", "crop or box"),
        ("augment: {rotation: much}\n", "rotation.*must be a number"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(path)


def test_recipes_are_files_of_a_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("#" * 300_000)
    with pytest.raises(InputError, match="300,000 bytes, more than 262,144"):
        load_recipe(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="a pipe or a device"):
        load_recipe(path)
    path.unlink()
    path.write_bytes(b"\xef\xbb\xbfepochs: 3e+1\n")
    assert load_recipe(path).epochs == 30
