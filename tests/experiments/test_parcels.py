"""What is packed comes out again: photographs small with their labels on the same spots, weights whole and once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from experiments.tools.parcels import LIST, SENT, Packing, collect, pack, unpack, worth_sending
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_sources
from sharpose.data.photos import PHOTO_SETS
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from tests.experiments.photographs import write_photographs

TRAIN = PHOTO_SETS["photos-train"][0]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = write_photographs(tmp_path / "photographs")
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(folder))
    return folder


def test_photographs_travel_small_and_are_found_by_name(photographs, tmp_path, monkeypatch):
    start = tmp_path / "vit.safetensors"
    save_file({"cls_token": torch.full((1, 1, 4), 0.1)}, start)
    made = pack(tmp_path / "parcel", start, Packing(part_mb=0.05))
    parts = [path for path in made if path.name != LIST]
    assert len(parts) > 2 and max(path.stat().st_size for path in parts) <= 0.05 * 2**20
    folder = unpack(tmp_path / "parcel", tmp_path / "there")
    assert torch.equal(load_file(folder / "start.safetensors")["cls_token"], torch.full((1, 1, 4), 0.1).half())
    monkeypatch.setenv("SHARPOSE_PHOTOS", str(folder))
    sources = [source for name in ("photos-train", "photos-val", "photos-coco") for source in find_sources(name, None)]
    assert [len(CocoTopDown(each.annotations, each.images, image_size=(64, 48))) for each in sources] == [3] * 5
    # what is judged by is as it was
    for name in ("photos-val", "photos-coco"):
        source = PHOTO_SETS[name][0]
        assert sha256_of(folder / source.annotations) == sha256_of(photographs / source.annotations)
        assert (folder / source.images / "1.png").read_bytes() == (photographs / source.images / "1.png").read_bytes()


def test_labels_lie_on_the_same_spots_of_a_smaller_picture(photographs, tmp_path):
    picture = np.zeros((300, 400, 3), dtype=np.uint8)
    picture[96:104, 126:134] = 255
    path = photographs / TRAIN.annotations
    content = json.loads(path.read_text())
    content["annotations"][0]["keypoints"][:3] = [129.5, 99.5, 2]
    path.write_text(json.dumps(content))
    Image.fromarray(picture).save(photographs / TRAIN.images / "1.png")
    pack(tmp_path / "parcel", None, Packing(longest=99))
    folder = unpack(tmp_path / "parcel", tmp_path / "there")
    content = json.loads((folder / TRAIN.annotations).read_text())
    row, person = content["images"][0], content["annotations"][0]
    small = np.asarray(Image.open(folder / TRAIN.images / row["file_name"]).convert("L")).astype(float)
    assert row["file_name"] == "1.jpg" and (row["width"], row["height"]) == small.shape[::-1]
    # 1.8 times the box of 82.5 x 110 is 148.5 x 198, of which whole pixels are taken
    assert max(small.shape) == 99 and 73 <= min(small.shape) <= 77
    bright = np.where(small > 60, small, 0)
    middle = [(bright.sum(axis=axis) * np.arange(bright.shape[1 - axis])).sum() / bright.sum() for axis in (0, 1)]
    assert person["keypoints"][:2] == pytest.approx(middle, abs=0.15)
    assert person["keypoints"][9:12] == [0, 0, 0]
    factor = person["bbox"][3] / 110
    assert factor == pytest.approx(99 / 199, rel=0.01) and person["area"] == pytest.approx(4000 * factor**2, rel=0.02)


def test_a_part_that_is_missing_or_damaged_is_named(photographs, tmp_path):
    parts = pack(tmp_path / "parcel", None, Packing(part_mb=0.05))
    second = next(path for path in parts if path.name.endswith("002"))
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(InputError, match=r"parcel\.002 of \d+ parts are missing; bring them too"):
        unpack(tmp_path / "parcel", tmp_path / "there")
    second.write_bytes(content[::-1])
    with pytest.raises(InputError, match=r"parcel\.002: not the part that parcel\.json lists"):
        unpack(tmp_path / "parcel", tmp_path / "there")
    assert not (tmp_path / "there").exists()
    second.write_bytes(content)
    stamp = unpack(tmp_path / "parcel", tmp_path / "there") / LIST
    before = stamp.stat().st_mtime_ns
    assert unpack(tmp_path / "parcel", tmp_path / "there") and stamp.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="name a new or empty folder"):
        pack(tmp_path / "parcel")


def test_what_does_not_fit_comes_with_the_next_call_and_nothing_twice(tmp_path):
    made = tmp_path / "made"
    rng = np.random.default_rng(0)
    for number, name in enumerate(["small/b/first.safetensors", "small/a/second.safetensors"]):
        (made / name).parent.mkdir(parents=True)
        (made / name).write_bytes(rng.bytes(700_000))
        os.utime(made / name, (number, number))
    (made / "gpu.log").write_text("a line\n")
    for step in ("step-000000001", "step-000000002"):
        (made / "races/nano/one" / step).mkdir(parents=True)
        (made / "races/nano/one" / step / "model.safetensors").write_bytes(step.encode())
    (made / "small/b/step-000000009").mkdir()
    (made / "small/b/step-000000009/optimizer.pt").write_bytes(b"stays")
    assert [path.relative_to(made).as_posix() for path in worth_sending(made)] == [
        "gpu.log", "small/b/first.safetensors", "small/a/second.safetensors",
        "races/nano/one/step-000000002/model.safetensors",
    ]  # fmt: skip
    assert collect(made, tmp_path / "one", limit_mb=1, part_mb=0.3) == ["small/a/second.safetensors"]
    parts = [path.stat().st_size for path in (tmp_path / "one").iterdir() if path.name != LIST]
    assert sum(parts) <= 2**20 and max(parts) <= 0.3 * 2**20 and len(parts) == 3
    first = unpack(tmp_path / "one", tmp_path / "back")
    assert (first / "gpu.log").read_text() == "a line\n" and not (first / SENT).exists()
    assert (first / "small/b/first.safetensors").read_bytes() == (made / "small/b/first.safetensors").read_bytes()
    (made / "gpu.log").write_text("a line\nanother\n")
    assert collect(made, tmp_path / "two", limit_mb=1) == []
    unpack(tmp_path / "two", tmp_path / "back2")
    names = {path.name for path in (tmp_path / "back2").rglob("*") if path.is_file()}
    assert names == {"gpu.log", "second.safetensors", LIST}
