"""Folders of YOLO-pose and of FiftyOne: the same people as in COCO's layout, converted once, mistakes named by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sharpose.data import folders
from sharpose.data.annotations import load_pose_file
from sharpose.data.folders import converted
from sharpose.data.locate import find_all, find_data
from sharpose.pose.skeleton import COCO
from sharpose.runtime.errors import InputError
from tests.command_line import call

WIDTH, HEIGHT = 80, 60
YAML = "train: images/train\nval: images/val\nkpt_shape: [3, 3]\nflip_idx: [0, 2, 1]\nnames: {0: person, 1: dog}\n"
POINTS = [[0.5, 0.5, 2], [0.25, 0.5, 1], [0, 0, 0]]
LINE = "0 0.5 0.5 0.5 0.4 " + " ".join(f"{value}" for point in POINTS for value in point)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)).save(path)
    return path


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    folder = tmp_path / "yolo"
    for split in ("train", "val"):
        for name in ("a", "b"):
            draw(folder / "images" / split / f"{name}.jpg")
        (folder / "labels" / split).mkdir(parents=True)
        (folder / "labels" / split / "a.txt").write_text(f"{LINE}\n\n1{LINE[1:]}\n")
    (folder / "data.yaml").write_text(YAML)
    return folder


def test_yolo_people_in_pixels(yolo: Path) -> None:
    (source,) = find_all([f"{yolo}:val"], [])
    content = json.loads(source.annotations.read_text())
    assert [row["file_name"] for row in content["images"]] == ["images/val/a.jpg", "images/val/b.jpg"]
    assert (source.images / content["images"][0]["file_name"]).is_file() and source.name == f"{yolo}:val"
    person, dog = content["annotations"]
    assert person["bbox"] == pytest.approx([20, 18, 40, 24]) and dog["category_id"] == 2
    assert person["keypoints"] == pytest.approx([40, 30, 2, 20, 30, 1, 0, 0, 0])
    read = load_pose_file(source.annotations)
    assert (read.skeleton.keypoint_names, read.skeleton.flip_pairs) == (("point_0", "point_1", "point_2"), ((1, 2),))
    assert [row["num_keypoints"] for row in read.annotations] == [2]
    assert len(load_pose_file(source.annotations, category="dog").annotations) == 1


def test_a_folder_is_converted_once_and_again_when_a_file_changes(
    yolo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = converted(f"{yolo}:train")
    assert f"{yolo}:train: converted to {first}" in capsys.readouterr().err
    monkeypatch.setattr(folders, "yolo_as_coco", None)
    assert converted(f"{yolo}:train")[0] == first and capsys.readouterr().err == ""
    monkeypatch.undo()
    monkeypatch.setenv("SHARPOSE_CACHE", str(first.parents[1]))
    (yolo / "labels" / "train" / "b.txt").write_text(LINE)
    second, _ = converted(f"{yolo}:train")
    assert second != first and len(json.loads(second.read_text())["annotations"]) == 3


def test_seventeen_keypoints_are_cocos_and_two_values_have_no_v(tmp_path: Path) -> None:
    folder = tmp_path / "roboflow"
    draw(folder / "valid" / "images" / "a.png")
    (folder / "valid" / "labels").mkdir()
    points = "0 0 " + " ".join(["0.5 0.25"] * 16)
    (folder / "valid" / "labels" / "a.txt").write_text(f"0 0.5 0.5 1 1 {points}")
    (folder / "data.yaml").write_text("val: ../valid/images\nkpt_shape: [17, 2]\nnames: [person]\n")
    read = load_pose_file(find_data(str(folder), None).annotations)
    assert read.skeleton.keypoint_names == COCO.keypoint_names and read.skeleton.flip_pairs == COCO.flip_pairs
    (row,) = read.annotations
    assert row["keypoints"][:6] == [0, 0, 0, 40, 15, 2] and row["num_keypoints"] == 16


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .5 .4", r"a.txt:2: has 5 numbers; kpt_shape \[3, 3\] asks for 14"),
        (LINE.replace("0.25", "left"), "a.txt:2: 'left' is no number"),
        ("7" + LINE[1:], "a.txt:2: class 7 is none of data.yaml's names"),
        (LINE.replace("0.25", "20"), "a.txt:2: numbers must be shares of the picture.*pixels"),
        (LINE.replace("0.25", "nan"), "a.txt:2: numbers must be shares"),
        ("0 .9 .5 .5 .4" + LINE[17:], "a.txt:2: the box .* reaches beyond the picture"),
    ],
)
def test_a_mistake_in_a_line_is_named(yolo: Path, line: str, message: str) -> None:
    (yolo / "labels" / "train" / "a.txt").write_text(f"{LINE}\n{line}\n")
    with pytest.raises(InputError, match=message) as caught:
        converted(f"{yolo}:train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[3, 3]", "[3, 4]", "data.yaml: kpt_shape must be"),
        ("[0, 2, 1]", "[0, 1, 1]", "data.yaml: flip_idx must name"),
        ("[0, 2, 1]", "[1, 2, 0]", "data.yaml: flip_idx must name"),
        ("images/val", "nowhere", "data.yaml: val: nowhere: no such folder"),
        ("names: {0: person, 1: dog}", "names: 3", "data.yaml: names must be"),
        ("train", "&a train", "data.yaml: not YAML"),
        ("names:", "kpt_names: {0: [nose]}\nnames:", "data.yaml: kpt_names must be 3 names"),
    ],
)
def test_a_mistake_in_the_description_is_named(yolo: Path, old: str, new: str, message: str) -> None:
    (yolo / "data.yaml").write_text(YAML.replace(old, new))
    with pytest.raises(InputError, match=message):
        converted(f"{yolo}:train")


def test_which_part_is_meant(yolo: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has several splits; name one of train, val, e.g. --data .*yolo:train"):
        find_data(str(yolo), None)
    with pytest.raises(InputError, match="has no split 'dev'"):
        find_data(f"{yolo}:dev", None)
    with pytest.raises(InputError, match="no data set is known by these files"):
        find_data(str(tmp_path), None)


def export(folder: Path, name: str, content: Any) -> Path:
    draw(folder / "data" / "a.jpg")
    (folder / name).write_text(json.dumps(content))
    return folder


def test_fiftyones_coco_style(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keypoints = [30, 20, 2, *([40, 50, 2] * 16)]
    rows = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": None, "keypoints": keypoints, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}]
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person"}]}
    folder = export(tmp_path / "coco", "labels.json", content)
    source = find_data(str(folder), None)
    assert source.images == folder / "data"
    read = load_pose_file(source.annotations)
    assert [row["bbox"] for row in read.annotations] == [[30, 20, 10, 30]]
    assert read.skeleton.keypoint_names == COCO.keypoint_names
    said = capsys.readouterr().err
    assert "1 people without a box of their own" in said and "1 labels without keypoints, left out" in said
    rows[0]["keypoints"] = [1, 2, "x"]
    (folder / "labels.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"labels.json: annotations\[0\].keypoints must be numbers"):
        find_data(str(folder), None)
    rows[0]["keypoints"] = [1, 2, 2]
    (folder / "labels.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"labels.json: has 1 keypoints a person, and no names for them"):
        find_data(str(folder), None)


def test_fiftyones_own(tmp_path: Path) -> None:
    points = [[0.5, 0.5], [{"$numberDouble": "NaN"}, {"$numberDouble": "NaN"}], [0.25, 0.5]]
    boxes = [{"_cls": "Detection", "bounding_box": [0.25, 0.25, 0.5, 0.5], "index": 7}]
    sample = {
        "filepath": "data/a.jpg",
        "boxes": {"_cls": "Detections", "detections": boxes},
        "pose": {
            "_cls": "Keypoints",
            "keypoints": [{"_cls": "Keypoint", "points": points, "index": index} for index in (7, None)],
        },
    }
    folder = export(tmp_path / "own", "samples.json", {"samples": [sample]})
    skeleton = {"labels": ["nose", "left_eye", "right_eye"], "edges": [[0, 1, 2]]}
    (folder / "metadata.json").write_text(json.dumps({"default_skeleton": skeleton}))
    read = load_pose_file(find_data(str(folder), None).annotations)
    assert read.skeleton.keypoint_names == ("nose", "left_eye", "right_eye") and read.skeleton.limbs == ((0, 1), (1, 2))
    first, second = read.annotations
    assert first["bbox"] == [20, 15, 40, 30] and second["bbox"] == [20, 30, 20, 1]
    assert first["keypoints"] == [40, 30, 2, 0, 0, 0, 20, 30, 2] == second["keypoints"]
    sample["other"] = {"_cls": "Keypoints", "keypoints": []}
    (folder / "samples.json").write_text(json.dumps({"samples": [sample]}))
    with pytest.raises(InputError, match=r"there are pose, other; name one, --data .*own:pose"):
        find_data(str(folder), None)
    assert len(load_pose_file(find_data(f"{folder}:pose", None).annotations).annotations) == 2
    sample["pose"]["keypoints"][0]["points"] = [[40, 30]]
    (folder / "samples.json").write_text(json.dumps({"samples": [sample]}))
    with pytest.raises(InputError, match=r"samples.json: samples\[0\].pose.keypoints\[0\].points: .* shares"):
        find_data(f"{folder}:pose", None)


def test_the_doctor_looks_over_a_folder_and_evaluate_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "yolo"
    draw(folder / "images" / "val" / "a.jpg")
    (folder / "labels" / "val").mkdir(parents=True)
    line = "0 0.5 0.5 0.9 0.9 " + " ".join(["0.5 0.5 2"] * 17)
    (folder / "labels" / "val" / "a.txt").write_text(line)
    (folder / "data.yaml").write_text("val: images/val\nkpt_shape: [17, 3]\nnames: [person]\n")
    code, out, err = call(capsys, "data", "doctor", str(folder), "--json")
    assert code == 0 and json.loads(out)["healthy"], err
    model = ("--model", "sharpose-nano-128x96", "--weights", "random", "--set", "depth=1")
    code, out, err = call(capsys, "evaluate", *model, "--data", str(folder), "--no-flip-test", "--json")
    assert code == 0 and json.loads(out)["people"] == 1, err
