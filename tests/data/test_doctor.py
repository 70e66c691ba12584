"""Faults of a data set, each counted where it was put."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sharpose.data.annotations import load_detections, load_pose_file
from sharpose.data.doctor import examine
from sharpose.runtime.errors import InputError

HEALTHY: dict[str, Any] = {
    "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (1, 2, 3)],
    "annotations": [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "keypoints": [5, 5, 2]} for i in (1, 2)
    ],
    "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in (1, 2, 3):
        Image.new("RGB", (40, 30), (i, 90, 200)).save(tmp_path / f"{i}.png")
    return tmp_path


def write(folder: Path, content: Any, name: str = "a.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_a_healthy_set(folder: Path) -> None:
    found = examine(write(folder, HEALTHY), folder)
    assert found.healthy and found.counts["people to train on"] == 2 and found.counts["images without a person"] == 1


def test_every_fault_is_counted(folder: Path) -> None:
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    Image.new("RGB", (41, 30)).save(folder / "3.png")
    data = copy.deepcopy(HEALTHY)
    data["images"] += [{**data["images"][0], "file_name": "4.png"}, {**data["images"][0], "id": 4}]
    row = data["annotations"][0]
    data["annotations"] += [
        row,
        {**row, "id": 3, "category_id": 7},
        {**row, "id": 4, "image_id": 99},
        {**row, "id": 5, "keypoints": [float("nan"), 0, 2]},
        {**row, "id": 6, "bbox": [50, 0, 5, 5]},
        {**row, "id": 7, "bbox": [5, 5, 0, 5]},
        {**row, "id": 8, "iscrowd": 1},
        {**row, "id": 9, "keypoints": [0, 0, 0]},
    ]
    boxes = [{"image_id": 77, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]
    found = examine(write(folder, data), folder, write(folder, boxes, "b.json"))
    counts = {kind: len(places) for kind, places in found.faults.items()}
    assert counts == {
        "image id twice": 1,
        "image file twice": 1,
        "annotation id twice": 1,
        "annotations of an unknown category left out": 1,
        "annotation of no image": 1,
        "keypoint that is no finite number": 1,
        "people left out: box without area": 1,
        "people left out: box outside its image": 1,
        "missing image": 2,
        "image that cannot be read": 1,
        "wrong size": 1,
        "detections for another split": 1,
        "no detection of the keypoint category, so that evaluate stops": 1,
    }
    assert found.counts["crowds"] == 1 and found.counts["people without labelled keypoints"] == 1
    assert "41x30 pixels, but the annotations say 40x30" in found.faults["wrong size"][0]


def test_half_a_file_is_an_error(folder: Path) -> None:
    path = write(folder, HEALTHY)
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match="cut off"):
        examine(path)


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_pictures_are_counted(folder: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30)).save(folder / "1.png", exif=exif)
    found = examine(write(folder, HEALTHY), folder)
    (kind,) = [one for one in found.remarks if "EXIF" in one]
    assert found.healthy and found.remarks[kind] == [f"1.png ({orientation})"] and found.lines[-1] != "nothing wrong"
    upright = copy.deepcopy(HEALTHY)
    upright["images"][0] |= {"width": 30, "height": 40}
    said = examine(write(folder, upright), folder).faults["wrong size"][0]
    assert ("store the pictures upright" in said) == (orientation == 6)


@pytest.mark.parametrize(("change", "message"), [({}, "category_id is missing"), ({"category_id": "1"}, "'1' must be")])
def test_detections_are_read_as_evaluation_reads_them(folder: Path, change: dict[str, Any], message: str) -> None:
    boxes = write(folder, [{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1, **change}], "b.json")
    path = write(folder, HEALTHY)
    with pytest.raises(InputError, match=message):
        load_detections(boxes, load_pose_file(path))
    found = examine(path, detections=boxes)
    assert len(found.faults) == 2 and "no detection of the keypoint category" in str(found.faults)


def test_real_photographs(shared: Path) -> None:
    coco = shared / "data" / "coco_mini"
    boxes = coco / "annotations" / "detections_val2017_AP_H_56.json"
    found = examine(coco / "annotations" / "person_keypoints_val2017.json", coco / "val2017", boxes)
    assert found.healthy and found.counts["people to train on"] == 73 and found.counts["detections"] == 118
    assert (
        "detections for another split"
        in examine(coco / "annotations" / "person_keypoints_train2017.json", detections=boxes).faults
    )
