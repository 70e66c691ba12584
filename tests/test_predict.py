"""Prediction on pictures: results, drawings, and input of every bad kind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sharpose.data.skeleton import known_skeleton
from sharpose.drawing import Person, draw
from sharpose.errors import InputError
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.predict import find_inputs, load_boxes, predict_people, predict_pictures

SIDE = 16


@pytest.fixture(scope="module")
def model() -> PoseModel:
    torch.manual_seed(0)
    return create_model("sharpose-nano-128x96", depth=2, quality_threshold=None, alpha=0.25).eval()


def save(path: Path, size: tuple[int, int] = (96, 128), mode: str = "RGB") -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def test_results_and_drawings(model: PoseModel, tmp_path: Path) -> None:
    pictures, videos = find_inputs([save(tmp_path / "7.png"), save(tmp_path / "000012.png")])
    assert videos == []
    boxes = tmp_path / "boxes.json"
    rows = [{"image_id": 12, "bbox": [5, 6, 40, 80], "score": 0.5}, {"file_name": "7.png", "bbox": [0, 0, 50, 90]}]
    boxes.write_text(json.dumps(rows))
    summary = predict_pictures(model, pictures, tmp_path / "out", boxes=boxes)
    written = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert [row["image_id"] for row in written] == [7, 12] and written[1]["bbox"] == [5, 6, 40, 80]
    assert all(len(row["keypoints"]) == 51 and row["refined"] is True and row["category_id"] == 1 for row in written)
    assert all(isinstance(row["quality"], float) for row in written) and not summary.skipped
    drawn = np.asarray(Image.open(tmp_path / "out" / "7.pose.jpg"))
    assert drawn.shape == (128, 96, 3)


def test_selected_patches_lie_on_the_grid_of_the_padded_box(model: PoseModel) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 300, 3), dtype=np.uint8)
    (person,) = predict_people(model, pixels, [([30.0, 40.0, 96.0, 128.0], 1.0)], "cpu")
    # padding 1.25 makes the crop 120 x 160 around (78, 104); 12 of 48 patches of 16 crop pixels are selected
    assert person.patches.shape == (12, 4, 2)
    unpadded = (person.patches - [78, 104]) * [95 / 120, 127 / 160] + [47.5, 63.5] + 0.5
    np.testing.assert_allclose(unpadded, np.round(unpadded / SIDE) * SIDE, atol=1e-9)
    sides = person.patches[:, 2] - person.patches[:, 0]
    np.testing.assert_allclose(sides, np.broadcast_to([16 * 120 / 95, 16 * 160 / 127], sides.shape))


def test_early_exit_is_reported_and_selects_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    early = create_model("sharpose-nano-128x96", depth=1, quality_threshold=-9.0)
    summary = predict_pictures(early, [save(tmp_path / "a.png")], tmp_path / "out")
    assert summary.rows[0]["refined"] is False and summary.rows[0]["bbox"] == [0, 0, 96, 128]


def test_hidden_files_pipes_and_folders_are_no_pictures(tmp_path: Path) -> None:
    good = save(tmp_path / "a.jpg")
    (tmp_path / "._a.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "b.jpg")
    assert find_inputs([tmp_path]) == ([good], [])


@pytest.mark.parametrize("mode", ["CMYK", "L", "P"])
def test_odd_pictures_are_read(model: PoseModel, tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    assert len(predict_pictures(model, [save(tmp_path / f"a{suffix}", mode=mode)], tmp_path / "o").rows) == 1


def test_16_bit_pictures_and_exif(model: PoseModel, tmp_path: Path) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((64, 48), 40000, dtype=np.uint16)).save(deep)
    turned, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (128, 96)).save(turned, exif=exif)
    upright = predict_pictures(model, [deep, turned], tmp_path / "o").rows[1]
    assert upright["bbox"] == [0, 0, 96, 128]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"file_name": "turned.jpg", "bbox": [100, 0, 20, 90]}]))
    assert len(predict_pictures(model, [turned], tmp_path / "o", boxes=boxes).rows) == 1


def test_what_cannot_be_used_is_listed_and_the_rest_is_done(model: PoseModel, tmp_path: Path) -> None:
    good, cut = save(tmp_path / "good.jpg"), save(tmp_path / "cut.jpg")
    cut.write_bytes(cut.read_bytes()[:2000])
    boxes = tmp_path / "boxes.json"
    shapes = [[0, 0, 50, 0], [500, 0, 10, 10], [0, 0, 50, 60]]
    boxes.write_text(json.dumps([{"file_name": "good.jpg", "bbox": box} for box in shapes]))
    summary = predict_pictures(model, [good, cut], tmp_path / "o", boxes=boxes)
    assert len(summary.rows) == 1 and len(summary.skipped) == 3
    assert all(word in line for word, line in zip(("no area", "outside", "cut.jpg"), summary.skipped, strict=True))
    with pytest.raises(InputError, match=r"cut\.jpg"):
        predict_pictures(model, [cut], tmp_path / "o")


def test_wrong_inputs_are_one_line(tmp_path: Path) -> None:
    for name in ("walk.mp4", "absent.jpg"):
        with pytest.raises(InputError, match="no such picture, video or folder"):
            find_inputs([tmp_path / name])
    with pytest.raises(InputError, match="holds no picture or video"):
        find_inputs([tmp_path])
    picture, boxes = save(tmp_path / "a.png"), tmp_path / "b.json"
    for content, message in (
        ("[{", "not valid JSON"),
        ('[{"file_name": "b.png", "bbox": [0, 0, 1, 1]}]', "no given picture"),
        ('[{"file_name": "a.png", "bbox": [0, 0, NaN, 1]}]', "finite"),
    ):
        boxes.write_text(content)
        with pytest.raises(InputError, match=message):
            load_boxes(boxes, [picture])


def test_drawing_leaves_the_picture_as_it_was() -> None:
    pixels = np.zeros((128, 96, 3), dtype=np.uint8)
    person = Person([0.0, 0.0, 96.0, 128.0], np.full((17, 3), 40.0), 1.0, 0.5, True, np.zeros((0, 4, 2)))
    assert draw(pixels, [person], known_skeleton(17)).any() and not pixels.any()
