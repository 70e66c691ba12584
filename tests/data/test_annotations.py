"""One reader: what the doctor calls healthy is accepted and complete, and every rule is counted aloud."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharpose.data.annotations import check_layout, load_detections, load_pose_file, onto, parse_pose_file, read_json
from sharpose.data.coco import CocoTopDown, ground_truth_instances
from sharpose.data.doctor import examine
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError

PEOPLE = 4


def people_set() -> dict[str, Any]:
    """Four people in two pictures of 160 x 120, all 17 keypoints labelled but the first person's nose."""
    points = np.random.default_rng(0).uniform(25, 75, (PEOPLE, 17, 2)).round(1)
    rows = []
    for number in range(PEOPLE):
        keypoints = [value for x, y in points[number].tolist() for value in (x, y, 2)]
        rows.append({"id": number + 1, "image_id": number % 2 + 1, "category_id": 1, "iscrowd": 0, "area": 1500.0})
        rows[-1] |= {"bbox": [20.0, 20.0, 60.0, 60.0], "keypoints": keypoints, "num_keypoints": 17}
    rows[0]["keypoints"][:3], rows[0]["num_keypoints"] = [0, 0, 0], 16
    images = [{"id": i, "file_name": f"{i}.png", "width": 160, "height": 120} for i in (1, 2)]
    return {"images": images, "annotations": rows, "categories": [copy.deepcopy(COCO_CATEGORY)]}


def write(folder: Path, data: Any) -> Path:
    path = folder / "people.json"
    path.write_text(json.dumps(data))
    return path


def change_first(field: str, value: Any) -> dict[str, Any]:
    data = people_set()
    data["annotations"][0][field] = value
    return data


REFUSED = {
    "area": [float("nan"), float("inf"), "900", -1],
    "iscrowd": ["0", "false", "no", 2],
    "category_id": ["1", 1.5],
    "num_keypoints": ["17", 1.5],
    "image_id": ["1", None, 9],
    "id": ["1", 2, -1],
    "bbox": [None, [1, 2, 3], ["1", 2, 3, 4], [1, 2, 3, float("nan")], [True, 2, 3, 4]],
    "keypoints": [None, [1, 2, 2], ["1", *[1] * 50]],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in REFUSED for value in REFUSED[field]])
def test_no_number_is_refused_and_the_doctor_knows_it(tmp_path: Path, field: str, value: Any) -> None:
    path = write(tmp_path, change_first(field, value))
    with pytest.raises(InputError, match=rf"people\.json: annotation .*{field}") as caught:
        load_pose_file(path)
    assert "\n" not in str(caught.value)
    found = examine(path)
    assert not found.healthy and found.counts["people to train on"] == PEOPLE - 1


@pytest.mark.parametrize("field", ["width", "height"])
def test_sizes_are_whole_numbers(tmp_path: Path, field: str) -> None:
    data = people_set()
    data["images"][0][field] = float(data["images"][0][field])
    assert load_pose_file(write(tmp_path, data)).images[1].width == 160 and examine(write(tmp_path, data)).healthy
    data["images"][0][field] = "160"
    with pytest.raises(InputError, match=r"images\[0\]: height and width must be positive integers"):
        load_pose_file(write(tmp_path, data))
    assert not examine(write(tmp_path, data)).healthy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("area", None), ("iscrowd", None), ("iscrowd", False), ("num_keypoints", None), ("num_keypoints", 16.0)),
        *(("id", 1.0), ("image_id", 1.0), ("category_id", 1.0), ("category_id", None)),
    ],
)
def test_other_spellings_of_a_number_are_taken(tmp_path: Path, field: str, value: Any) -> None:
    usual, other = (parse_pose_file(data, tmp_path) for data in (people_set(), change_first(field, value)))
    expected = copy.deepcopy(usual.annotations)
    if field == "area":
        expected[0]["area"] = 3600.0
    assert other.annotations == expected and json.dumps(other.annotations) == json.dumps(expected)
    assert examine(write(tmp_path, change_first(field, value))).healthy


def test_labels_count_and_not_what_is_said_of_them(tmp_path: Path) -> None:
    data = people_set()
    for row in data["annotations"][1:3]:
        row["num_keypoints"] = 0
    data["annotations"][3]["keypoints"][2::3] = [-1] * 12 + [0.5, 1, 2, 2, 2]
    data["annotations"][3]["num_keypoints"] = 5
    pose_file = parse_pose_file(data, tmp_path)
    assert [row["num_keypoints"] for row in pose_file.annotations] == [16, 17, 17, 5]
    people = ground_truth_instances(pose_file)
    assert len(people) == PEOPLE and people[3].visible.tolist() == [0.0] * 12 + [1.0] * 5
    assert pose_file.annotations[3]["keypoints"][2::3] == [0] * 12 + [2] * 5
    assert pose_file.notes == (
        "2 people whose num_keypoints differs from the labelled keypoints, which count: annotation 2; annotation 3",
        "1 people with a visibility other than 0, 1, 2; above 0 is labelled: annotation 4",
    )
    found = examine(write(tmp_path, data))
    assert len(found.faults) == 2 and found.counts["people to train on"] == PEOPLE


def test_areas_that_are_missing_or_0_are_the_boxes(tmp_path: Path) -> None:
    data = people_set()
    data["annotations"][0]["area"] = 0
    del data["annotations"][1]["area"]
    pose_file = parse_pose_file(data, tmp_path)
    assert [row["area"] for row in pose_file.annotations] == [3600.0, 3600.0, 1500.0, 1500.0]
    assert [one.area for one in ground_truth_instances(pose_file)] == [3600.0, 3600.0, 1500.0, 1500.0]
    assert "area is 0" in pose_file.notes[0] and "not comparable with COCO's" in pose_file.notes[1]


@pytest.mark.parametrize(("area", "said"), [(5e5, True), (4000.0, True), (3.5, True), (3601.0, False), (40.0, False)])
def test_areas_that_are_none_of_their_box_are_said(tmp_path: Path, area: float, said: bool) -> None:
    pose_file = load_pose_file(write(tmp_path, change_first("area", area)))
    assert pose_file.annotations[0]["area"] == area
    kind = "1 people whose area is none of their box's (above it, or below a thousandth), so that AP misleads"
    assert pose_file.notes == ((f"{kind}: annotation 1",) if said else ())
    assert bool(examine(write(tmp_path, change_first("area", area))).remarks) == said


@pytest.mark.parametrize("key", ["annotations", "bbox"])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, key: str) -> None:
    """JSON's usual readers take the last one: people are lost, or others are found, in silence."""
    text, path = json.dumps(people_set()), tmp_path / "people.json"
    other = {"annotations": "[]", "bbox": "[0, 0, 9, 9]"}[key]
    path.write_text(text.replace(f'"{key}":', f'"{key}": {other}, "{key}":', 1))
    for read in (load_pose_file, examine, read_json):
        with pytest.raises(InputError, match=f"people.json: an object has the key '{key}' twice; keep one"):
            read(path)


@pytest.mark.parametrize(
    ("box", "taken"),
    [
        ([-120.0, 10.0, 100.0, 90.0], None),
        ([10.0, -95.0, 100.0, 90.0], None),
        ([-40.0, 10.0, 100.0, 90.0], [0.0, 10.0, 59.0, 89.0]),
        ([10.0, -20.0, 100.0, 90.0], [10.0, 0.0, 99.0, 69.0]),
        ([30.0, 30.0, 200.0, 190.0], [30.0, 30.0, 129.0, 89.0]),
    ],
)
def test_boxes_are_cut_at_every_border(tmp_path: Path, box: list[float], taken: list[float] | None) -> None:
    data = change_first("bbox", box)
    people = ground_truth_instances(parse_pose_file(data, tmp_path))
    boxes = {one.instance_id: one.bbox_xywh.tolist() for one in people}
    assert boxes.get(1) == taken and len(people) == PEOPLE - (taken is None)
    found = examine(write(tmp_path, data))
    assert found.counts["people to train on"] == len(people) and found.healthy == (taken is not None)


def test_coordinates_of_another_space_are_seen(tmp_path: Path) -> None:
    shares, small, corners = people_set(), people_set(), people_set()
    for row in shares["annotations"]:
        row["bbox"] = [value / 160 for value in row["bbox"]]
    with pytest.raises(InputError, match=r"all 4 boxes .* shares of the picture"):
        examine(write(tmp_path, shares))
    for row in small["annotations"]:
        row["keypoints"] = [value * 4 if at % 3 < 2 else value for at, value in enumerate(row["keypoints"])]
    kinds = str(list(examine(write(tmp_path, small)).faults))
    assert "outside their image" in kinds and "outside their box" in kinds
    for row in corners["annotations"]:
        row["bbox"] = [90.0, 20.0, 150.0, 80.0]
    assert "corners (x1 y1 x2 y2)" in str(examine(write(tmp_path, corners)).faults)


def test_other_categories_are_counted_and_can_be_chosen(tmp_path: Path) -> None:
    data = people_set()
    data["categories"] += [{**COCO_CATEGORY, "id": 2, "name": "rider"}, {"id": 3, "name": "chair"}]
    data["annotations"][1]["category_id"] = 2
    data["annotations"][2] = {"id": 3, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]}
    data["annotations"].append({"id": 9, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5]})
    pose_file = parse_pose_file(data, tmp_path)
    assert [row["id"] for row in pose_file.annotations] == [1, 4]
    assert any("left out, as they are of category 'rider'" in note for note in pose_file.notes)
    assert any("unknown category left out: annotation 9 of category 7" in note for note in pose_file.notes)
    assert not examine(write(tmp_path, data)).healthy
    assert [row["id"] for row in parse_pose_file(data, tmp_path, category="rider").annotations] == [2]
    for number, name in enumerate(("dog", "cat")):
        data["categories"][number]["name"] = name
    with pytest.raises(InputError, match="there are dog, cat; choose one with --category"):
        examine(write(tmp_path, data))


def test_keypoints_in_another_order_are_matched_by_name_or_refused(tmp_path: Path) -> None:
    data = people_set()
    order = np.argsort(COCO.keypoint_names)
    data["categories"][0] |= {"keypoints": [COCO.keypoint_names[i].replace("_", "-") for i in order], "skeleton": []}
    for row in data["annotations"]:
        row["keypoints"] = np.array(row["keypoints"]).reshape(17, 3)[order].ravel().tolist()
    pose_file = parse_pose_file(data, tmp_path)
    with pytest.raises(InputError, match=r"in another order; match them by their names \(--by-name\)"):
        check_layout(pose_file, "a model", 17)
    assert "in another order" in str(examine(write(tmp_path, data)).faults)
    matched = onto(pose_file, COCO)
    check_layout(matched, "a model", 17)
    expected = [row["keypoints"] for row in people_set()["annotations"]]
    assert [row["keypoints"] for row in matched.annotations] == expected and not matched.notes


def test_other_keypoints_of_the_same_number_are_noted(tmp_path: Path) -> None:
    data = people_set()
    data["categories"][0]["keypoints"] = [*COCO.keypoint_names[:15], "left_paw", "right_paw"]
    (said,) = check_layout(parse_pose_file(data, tmp_path), "a model", 17)
    assert said.startswith("15 of 17 keypoints are those of models for COCO; ")
    assert said in examine(write(tmp_path, data)).remarks
    assert not check_layout(parse_pose_file(people_set(), tmp_path), "a model", 17)


def test_what_is_not_found_by_name_is_said(tmp_path: Path) -> None:
    data = people_set()
    names = ["nose", *(f"{side}_{part}" for part in range(8) for side in ("left", "right"))]
    data["categories"][0] |= {"keypoints": names, "sigmas": [0.1] * 17}
    (said,) = onto(parse_pose_file(data, tmp_path), COCO).notes
    assert said.startswith("1 of the model's 17 keypoints found by name; unlabelled: left_eye, right_eye")


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", Path("/dev/zero")):
        with pytest.raises(InputError, match="a pipe or a device"):
            read_json(path)


def test_the_data_set_says_its_notes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for number in (1, 2):
        Image.new("RGB", (160, 120)).save(tmp_path / f"{number}.png", exif=exif)
    path = write(tmp_path, change_first("area", 0))
    dataset = CocoTopDown(path, tmp_path, image_size=(128, 96))
    for index in range(len(dataset)):
        dataset[index]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"note: {path}: 1 people whose area is 0")
    assert second.startswith(f"note: {tmp_path / '1.png'}: the EXIF orientation asks to turn the picture")
    assert [line.split()[-1] for line in dataset.notes] == [first.split()[-1], second.split()[-1]]


def test_sides_that_cannot_be_told_stop_all_but_by_name(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.new("RGB", (160, 120)).save(tmp_path / f"{number}.png")
    data = people_set()
    data["categories"][0]["keypoints"] = ["left_eye", *COCO.keypoint_names[3:], "nose", "tail"]
    path = write(tmp_path, data)
    with pytest.raises(InputError, match=r"people\.json: .* named for left_eye; .*flip_pairs"):
        CocoTopDown(path, tmp_path, image_size=(128, 96))
    assert "named for left_eye" in str(examine(path).faults)
    assert len(CocoTopDown(path, tmp_path, image_size=(128, 96), by_name=COCO)) == PEOPLE


def test_detections_in_shares_of_the_picture_are_refused(tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [0.1, 0.2, 0.3, 0.4], "score": 1}]))
    with pytest.raises(InputError, match=r"boxes\.json: all 1 boxes of detections .* shares of the picture"):
        load_detections(boxes, parse_pose_file(people_set(), tmp_path))


@pytest.mark.parametrize(("visible", "labelled"), [(-1, 0), (0, 0), (1, 2), (0.5, 2)])
def test_labels_of_mpii_count_above_0(tmp_path: Path, visible: float, labelled: int) -> None:
    row = {"image": "1.png", "center": [30, 30], "scale": 0.2, "joints": [[20, 20]] * 16}
    path = write(tmp_path, [{**row, "joints_vis": [visible] * 16}])
    assert load_pose_file(path).annotations[0]["keypoints"][2::3] == [labelled] * 16
    with pytest.raises(InputError, match="joints_vis must be 16 finite numbers"):
        load_pose_file(write(tmp_path, [{**row, "joints_vis": ["0"] * 16}]))
    with pytest.raises(InputError, match="--category rider"):
        load_pose_file(path, category="rider")
