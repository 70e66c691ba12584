"""Recipes as files: what they say about random crops."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpose.data.augment import Augmentation
from sharpose.errors import InputError
from sharpose.training.recipe import Recipe, load_recipe


def test_augmentation_is_the_papers_none_or_changed() -> None:
    assert Recipe(augment=True).augmentation == Augmentation()
    assert Recipe(augment=False).augmentation is None
    assert Recipe(augment={"rotation": 15}).augmentation == Augmentation(rotation=15)


def test_unknown_strength_names_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("augment: {rotate: 15}\n")
    with pytest.raises(InputError, match=r"mine.yaml.*augment.*'rotate'.*rotation"):
        load_recipe(path)
