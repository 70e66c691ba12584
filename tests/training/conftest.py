"""A data set of a few generated people, kept in the cache of the test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpose.data.coco import CocoTopDown
from sharpose.data.mannequin import annotations_path, images_path
from sharpose.data.mannequin.generate import generate


@pytest.fixture(scope="session")
def people_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "made"
    generate(folder, split="train", images=12, seed=5, workers=1)
    return folder


@pytest.fixture(scope="session")
def people(people_folder: Path) -> CocoTopDown:
    folder = people_folder
    return CocoTopDown(
        annotations_path(folder, "train"), images_path(folder, "train"), image_size=(128, 96), preload=True
    )
