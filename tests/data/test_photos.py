"""Photographs by name: found in the user's folder, labels counted as their sources deserve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpose.data.coco import CocoTopDown
from sharpose.data.labels import LabelRule
from sharpose.data.locate import find_data, find_sources
from sharpose.data.mixture import Mixture
from sharpose.data.photos import PHOTO_SETS, VARIABLE
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import InputError


def person(number: int, **more: object) -> dict[str, object]:
    points = [value for k in range(17) for value in (10 + k, 20 + k, 2)]
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": [5, 5, 40, 60], "keypoints": points, **more}


def write(path: Path, people: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": people, "categories": [COCO_CATEGORY]}
    path.write_text(json.dumps(content))
    return path


def open_people(path: Path, folder: Path, **more: object) -> CocoTopDown:
    Image.new("RGB", (60, 80), (9, 9, 9)).save(folder / "a.png")
    return CocoTopDown(path, folder, image_size=(128, 96), **more)


def test_unsure_labels_do_not_count_and_others_as_much_as_they_are_sure(tmp_path: Path) -> None:
    scores = [0.1, 0.5, *[0.9] * 15]
    people = [person(1, keypoint_scores=scores), person(2), person(3, sides_disagree=True)]
    rule = LabelRule(least_score=0.3, by_score=True, without=("sides_disagree",))
    made = open_people(write(tmp_path / "a.json", people), tmp_path, labels=rule)
    assert len(made) == 2
    first, second = made[0], made[1]
    assert first["visible"].tolist() == [0, *[1] * 16]
    np.testing.assert_allclose(first["label_weight"].numpy(), scores)
    assert second["visible"].tolist() == second["label_weight"].tolist() == [1] * 17
    assert len(open_people(tmp_path / "a.json", tmp_path)) == 3


def test_scores_that_fit_no_keypoint_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [person(1, keypoint_scores=[0.5])])
    with pytest.raises(InputError, match="one per keypoint"):
        open_people(path, tmp_path)


def test_people_who_come_again_draw_anew(tmp_path: Path) -> None:
    from sharpose.data.augment import Augmentation

    made = open_people(write(tmp_path / "a.json", [person(1), person(2)]), tmp_path, augmentation=Augmentation())
    mixture = Mixture([made, made], [3, 1])
    assert len(mixture) == 8
    seen = [mixture.sample(index, epoch)["keypoints"].numpy() for epoch in (0, 1) for index in (0, 2, 4)]
    assert all(np.abs(a - b).max() > 0 for i, a in enumerate(seen) for b in seen[:i])
    np.testing.assert_array_equal(mixture.sample(7, 2)["keypoints"], made.sample(1, 2)["keypoints"])
    with pytest.raises(IndexError):
        mixture.sample(8, 0)


def test_photographs_are_found_in_the_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"set {VARIABLE}"):
        find_sources("photos-train", None)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    with pytest.raises(InputError, match="no such folder"):
        find_sources("photos-train", None)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=r"person_keypoints_train.json is missing"):
        find_sources("photos-train", None)
    for source in PHOTO_SETS["photos-train"]:
        write(tmp_path / source.annotations, [person(1)])
    found = find_sources("photos-train", None)
    assert [source.repeat for source in found] == [1, 1, 5]
    assert all(len(source.digests["annotations_sha256"]) == 64 for source in found)
    with pytest.raises(InputError, match="made of 3 sets"):
        find_data("photos-train", None)
