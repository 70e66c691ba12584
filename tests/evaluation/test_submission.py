"""Files for COCO's evaluation server: named, checked before written, with everything in them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharpose.data.annotations import load_pose_file
from sharpose.evaluation.submission import split_of, write_submission
from sharpose.runtime.errors import InputError
from tests.command_line import call

RESULT = {"image_id": 7, "category_id": 1, "keypoints": [1.5, 2.0, 0.9] * 17, "score": 0.5}


@pytest.fixture
def info(tmp_path: Path) -> Path:
    """Image information as COCO gives it for test splits: categories without keypoints, no annotations."""
    rows = [{"id": n, "file_name": f"{n:012}.jpg", "height": 60, "width": 80} for n in (7, 8)]
    categories = [{"id": 1, "name": "person", "supercategory": "person"}, {"id": 2, "name": "bicycle"}]
    path = tmp_path / "image_info_test-dev2017.json"
    path.write_text(json.dumps({"images": rows, "categories": categories}))
    return path


def test_official_name_and_content(info: Path, tmp_path: Path) -> None:
    made = write_submission([{**RESULT, "extra": 1}], load_pose_file(info), "sharpose-base", tmp_path / "new")
    assert made.path.name == "person_keypoints_test-dev2017_sharpose-base_results.zip"
    with zipfile.ZipFile(made.path) as archive:
        assert archive.namelist() == ["person_keypoints_test-dev2017_sharpose-base_results.json"]
        assert json.loads(archive.read(archive.namelist()[0])) == [RESULT]
    assert (made.results, made.images, made.images_without_results, made.images_beyond_counted) == (1, 2, 1, 0)
    again = write_submission([RESULT] * 21, load_pose_file(info), "sharpose-base", tmp_path / "new")
    assert again.images_beyond_counted == 1
    same = write_submission([RESULT], load_pose_file(info), "sharpose-base", tmp_path / "other")
    assert same.sha256 == made.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 9}, r"results\[1\].image_id 9 is not an image of .*image_info_test-dev2017.json"),
        ({"image_id": "7"}, "image_id '7'"),
        ({"image_id": True}, "image_id True"),
        ({"category_id": 2}, r"category_id 2 must be 1"),
        ({"keypoints": [1.0] * 48}, r"results\[1\].keypoints must be 51 finite numbers"),
        ({"keypoints": [float("nan"), *[1.0] * 50]}, "51 finite numbers"),
        ({"keypoints": None}, "51 finite numbers"),
        ({"score": float("inf")}, r"results\[1\].score"),
        ({"score": None}, r"results\[1\].score"),
    ],
)
def test_what_the_server_would_refuse_is_never_written(
    info: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_submission([RESULT, {**RESULT, **change}], load_pose_file(info), "x", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_names_are_checked(info: Path, tmp_path: Path) -> None:
    assert split_of(info) == "test-dev2017" and split_of(Path("person_keypoints_val2017.json")) == "val2017"
    with pytest.raises(InputError, match="name it as COCO does"):
        split_of(tmp_path / "my_info.json")
    for algorithm in ("", "a b", "../x", "a_b"):
        with pytest.raises(InputError, match="--name"):
            write_submission([RESULT], load_pose_file(info), algorithm, tmp_path)
    with pytest.raises(InputError, match="no results"):
        write_submission([], load_pose_file(info), "x", tmp_path)


def test_from_model_to_zip(capsys: pytest.CaptureFixture[str], info: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    for number in (7, 8):
        Image.fromarray(pixels).save(tmp_path / f"{number:012}.jpg")
    boxes = tmp_path / "boxes.json"
    rows = [{"image_id": n, "category_id": 1, "bbox": [5, 5, 40, 50], "score": 0.9} for n in (7, 8)]
    boxes.write_text(json.dumps(rows))
    common = ["--image-info", str(info), "--name", "nano", "--out", str(tmp_path / "out")]
    model = ["--model", "sharpose-nano-128x96", "--images", str(tmp_path), "--boxes", str(boxes)]
    code, out, err = call(capsys, "submit", *common, *model, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["results"], made["images"], made["images_without_results"]) == (2, 2, 0)
    with zipfile.ZipFile(made["path"]) as archive:
        results = json.loads(archive.read(archive.namelist()[0]))
    saved = tmp_path / "results.json"
    saved.write_text(json.dumps(results))
    code, out, err = call(capsys, "submit", *common, "--results", str(saved), "--json")
    assert code == 0 and json.loads(out)["sha256"] == made["sha256"], err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --results FILE, or --model"),
        (["--model", "sharpose-nano-128x96"], "--images DIR and --boxes FILE"),
        (["--results", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], info: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    common = ["--image-info", str(info), "--name", "x", "--out", str(tmp_path / "o")]
    code, _, err = call(capsys, "submit", *common, *arguments)
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1
