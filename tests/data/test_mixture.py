"""Several data sets learnt from together, and starts from weights of another layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sharpose.data.coco import CocoTopDown
from sharpose.data.mixture import Mixture
from sharpose.models import create_model
from sharpose.pose.skeleton import COCO, MPII
from sharpose.runtime.errors import InputError
from sharpose.training.request import TrainingRequest
from sharpose.training.session import train_and_export
from sharpose.weights.transfer import old_size, transfer

TINY: dict[str, Any] = {"embed_dim": 24, "num_heads": 2, "depth": 1}


def people(folder: Path, name: str, keypoints: list[str], count: int) -> Path:
    Image.new("RGB", (60, 80), (9, 9, 9)).save(folder / "a.png")
    rows = [
        {
            "id": n, "image_id": 1, "category_id": 1, "bbox": [0, 0, 60, 80],
            "keypoints": [value for k in range(len(keypoints)) for value in (k + n, 2 * k, 2)],
        }
        for n in range(count)
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": keypoints}],
    }
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_people_follow_each_other(tmp_path: Path) -> None:
    first = people(tmp_path, "a.json", ["left_knee", "neck"], 2)
    second = people(tmp_path, "b.json", ["nose", "left_knee"], 3)
    sets = [CocoTopDown(path, tmp_path, image_size=(128, 96), by_name=COCO) for path in (first, second)]
    mixture = Mixture(sets)
    assert len(mixture) == 5 and mixture.skeleton == COCO
    for index, (source, own) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))):
        assert torch.equal(mixture.sample(index, 0)["keypoints"], sets[source].sample(own, 0)["keypoints"])
    with pytest.raises(IndexError):
        mixture.sample(5, 0)
    knee, nose = COCO.keypoint_names.index("left_knee"), 0
    assert mixture.sample(0, 0)["visible"].nonzero().ravel().tolist() == [knee]
    assert mixture.sample(2, 0)["visible"].nonzero().ravel().tolist() == [nose, knee]
    with pytest.raises(InputError, match="--by-name"):
        Mixture([CocoTopDown(path, tmp_path, image_size=(128, 96)) for path in (first, second)])
    with pytest.raises(InputError, match=r"none of its keypoints \(left_paw\)"):
        CocoTopDown(people(tmp_path, "c.json", ["left_paw"], 1), tmp_path, image_size=(128, 96), by_name=COCO)


def test_training_takes_several_sources(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = [str(people(tmp_path, f"{n}.json", names, 2)) for n, names in enumerate((["left_hip"], ["nose", "neck"]))]
    request: dict[str, Any] = {
        "model": "sharpose-nano-128x96", "data": data, "images": [tmp_path, tmp_path], "out": tmp_path / "run",
        "changes": {"epochs": 1, "batch_size": 4, "model_options": TINY},
    }  # fmt: skip
    with pytest.raises(InputError, match="--by-name"):
        train_and_export(TrainingRequest(**request))
    with pytest.raises(InputError, match="3 folders for 2"):
        train_and_export(TrainingRequest(**{**request, "images": [tmp_path] * 3}, by_name=True))
    with pytest.raises(InputError, match=r"1\.json: say where its images are"):
        train_and_export(TrainingRequest(**{**request, "images": [tmp_path]}, by_name=True))
    facts = train_and_export(TrainingRequest(**request, by_name=True))
    assert facts["data"]["people"] == 4
    assert [(one["name"], one["people"]) for one in facts["data"]["sources"]] == [("0.json", 2), ("1.json", 2)]


def test_weights_of_the_coco_model_start_the_square_model_of_mpii() -> None:
    torch.manual_seed(0)
    source = create_model("sharpose-nano-128x96", **TINY)
    model = create_model("sharpose-nano-128x128-mpii", **TINY)
    fresh = model.keypoint_tokens.detach().clone()
    report = transfer(model, source.state_dict())
    assert report.missing == [] and report.unexpected == []
    assert {"keypoint_tokens", "coarse_pos_embed", "fine_pos_embed"} <= set(report.resized)
    for place, name in enumerate(MPII.keypoint_names):
        if name in COCO.keypoint_names:
            expected = source.keypoint_tokens[:, COCO.keypoint_names.index(name)]
        else:
            expected = fresh[:, place]
        assert torch.equal(model.keypoint_tokens[:, place], expected)
    assert (
        old_size(48, (8, 8)) == [8, 6] and old_size(192, (16, 16)) == [16, 12] and old_size(196, (16, 12)) == [14, 14]
    )
    with pytest.raises(InputError, match="neither square nor 4:3"):
        old_size(50, (8, 8))
