"""The top-down data set on small files made here, and on real photographs where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sharpose.data.augment import Augmentation
from sharpose.data.batches import sample_batches
from sharpose.data.coco import CocoTopDown
from sharpose.pose.normalise import normalise
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import InputError
from sharpose.training.order import ByEpoch, TrainingOrder

SIZE = (128, 96)


def person(annotation_id: int, image_id: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(annotation_id)
    points = np.concatenate([rng.uniform(30, 90, (17, 2)), np.full((17, 1), 2.0)], axis=1)
    row = {"id": annotation_id, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": 2000.0}
    return {
        **row,
        "bbox": [20.0, 20.0, 80.0, 70.0],
        "keypoints": points.ravel().tolist(),
        "num_keypoints": 17,
        **changes,
    }


def write_set(folder: Path, people: list[dict[str, Any]], count: int = 3, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for image_id in range(count):
        pixels = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
        rows.append({"id": image_id, "file_name": f"{image_id}.png", "height": 120, "width": 160})
    path = folder / "people.json"
    path.write_text(json.dumps({"images": rows, "annotations": people, "categories": [COCO_CATEGORY], **changes}))
    return path


def test_a_sample_has_the_documented_parts(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(7, 1)])
    sample = CocoTopDown(path, tmp_path, image_size=SIZE)[0]
    assert sample["image"].shape == (3, 128, 96) and sample["image"].dtype == torch.uint8
    assert sample["keypoints"].shape == (17, 2) and sample["visible"].tolist() == [1.0] * 17
    # clipped as last pixel minus first pixel: 79 x 69 around (59.5, 54.5), grown in height
    assert sample["center"].tolist() == [59.5, 54.5]
    assert sample["scale"].tolist() == pytest.approx([79 * 1.25, 79 * 1.25 * 4 / 3])
    facts = {name: sample[name] for name in ("area", "box_score", "image_id", "instance_id")}
    assert facts == {"area": 2000.0, "box_score": 1.0, "image_id": 1, "instance_id": 7}


def test_keypoints_follow_the_pixels(tmp_path: Path) -> None:
    """A bright dot at a keypoint is found at that keypoint of every augmented crop."""
    path = write_set(tmp_path, [person(1, 0)])
    pixels = np.zeros((120, 160, 3), dtype=np.uint8)
    pixels[58:63, 48:53] = 255
    Image.fromarray(pixels).save(tmp_path / "0.png")
    points = np.tile([[50.0, 60.0, 2.0]], (17, 1))
    points[1:, :2] = np.random.default_rng(0).uniform(20, 100, (16, 2))
    path = write_set(tmp_path, [person(1, 0, keypoints=points.ravel().tolist())])
    Image.fromarray(pixels).save(tmp_path / "0.png")
    dataset = CocoTopDown(path, tmp_path, image_size=SIZE, augmentation=Augmentation(half_body_probability=0.0))
    rows, columns = np.mgrid[:128, :96]
    seen = 0
    for epoch in range(30):
        sample = dataset.sample(0, epoch)
        brightness = sample["image"][0].double().numpy()
        x, y = sample["keypoints"][0].tolist()
        if not (6 < x < 89 and 6 < y < 121):
            continue
        seen += 1
        middle = (columns * brightness).sum() / brightness.sum(), (rows * brightness).sum() / brightness.sum()
        assert np.hypot(middle[0] - x, middle[1] - y) < 0.15
    assert seen > 15


def test_only_people_to_train_on_are_taken(tmp_path: Path) -> None:
    nothing = [0.0] * 51
    people = [
        person(1, 0),
        person(2, 0, iscrowd=1),
        person(3, 1, num_keypoints=0, keypoints=nothing),
        person(4, 1, bbox=[10.0, 10.0, 0.0, 5.0]),
        person(5, 2, bbox=[400.0, 10.0, 30.0, 50.0]),
        person(6, 2, area=0.0),
        person(9, 2, bbox=[-30.0, -30.0, 500.0, 500.0]),
    ]
    dataset = CocoTopDown(write_set(tmp_path, people), tmp_path, image_size=SIZE)
    # an area of 0 is none, and then the box's is taken
    assert [instance.instance_id for instance in dataset.instances] == [1, 6, 9]
    assert dataset.instances[1].area == 80.0 * 70.0
    assert dataset.instances[2].bbox_xywh.tolist() == [0.0, 0.0, 159.0, 119.0]
    assert dataset.image_ids == [0, 2]


def test_every_detection_of_the_category_is_kept_as_it_is(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(1, 0)])
    boxes = tmp_path / "boxes.json"
    rows = [
        {"image_id": 0, "category_id": 1, "bbox": [-5.0, 1.0, 30.0, 40.0], "score": 0.9},
        {"image_id": 0, "category_id": 2, "bbox": [1.0, 1.0, 30.0, 40.0], "score": 0.9},
        {"image_id": 2, "category_id": 1, "bbox": [7.0, 8.0, 0.0, 0.0], "score": 0.01},
    ]
    boxes.write_text(json.dumps(rows))
    dataset = CocoTopDown(path, tmp_path, image_size=SIZE, boxes=boxes)
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample["instance_id"] for sample in samples] == [0, 2]
    assert [sample["box_score"] for sample in samples] == [0.9, 0.01]
    assert samples[0]["center"].tolist() == [10.0, 21.0]
    assert samples[1]["visible"].sum() == 0 and samples[1]["area"] == 1.0


@pytest.mark.parametrize(
    ("box", "taken"),
    [
        ([7.0, 8.0, 0.0, 40.0], [7.0, 8.0, 0.0, 40.0]),
        ([7.0, 8.0, 0.25, 0.5], [7.0, 8.0, 1.0, 1.0]),
        ([900.0, 8.0, 20.0, 40.0], [900.0, 8.0, 20.0, 40.0]),
    ],
)
def test_detections_are_changed_only_where_they_are_smaller_than_a_pixel(
    tmp_path: Path, box: list[float], taken: list[float]
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 0, "category_id": 1, "bbox": box, "score": 0.9}]))
    dataset = CocoTopDown(write_set(tmp_path, [person(1, 0)]), tmp_path, image_size=SIZE, boxes=boxes)
    assert dataset.instances[0].bbox_xywh.tolist() == taken
    sample = dataset[0]
    assert (sample["scale"] > 0).all() and sample["scale"].isfinite().all()


def test_augmentation_depends_on_seed_epoch_and_person_alone(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(i, i % 3) for i in range(6)])

    def samples(order: list[int], epoch: int, **options: Any) -> dict[int, torch.Tensor]:
        dataset = CocoTopDown(path, tmp_path, image_size=SIZE, augmentation=Augmentation(), **options)
        drawn = [dataset.sample(index, epoch) for index in order]
        return {sample["instance_id"]: sample["image"] for sample in drawn}

    forwards = samples(list(range(6)), 3)
    for other in (samples([5, 3, 1, 0, 2, 4], 3), samples(list(range(6)), 3, preload=True)):
        assert all(torch.equal(forwards[key], other[key]) for key in forwards)
    for other in (samples(list(range(6)), 4), samples(list(range(6)), 3, seed=1)):
        assert not all(torch.equal(forwards[key], other[key]) for key in forwards)


def test_running_workers_draw_what_each_epoch_has(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(i, i % 3) for i in range(6)])
    dataset = CocoTopDown(path, tmp_path, image_size=SIZE, augmentation=Augmentation())
    assert torch.equal(dataset[2]["image"], dataset.sample(2, 0)["image"])
    order = TrainingOrder(people=6, batch_size=3, seed=0, start=0, stop=4)
    loader = DataLoader(ByEpoch(dataset), batch_sampler=order, num_workers=1, persistent_workers=True)
    for batch, keys in zip(sample_batches(loader), order, strict=True):
        expected = [dataset.sample(index, epoch)["image"] for epoch, index in keys]
        assert torch.equal(batch["image"], torch.stack(expected))


def test_a_broken_image_is_one_line_even_from_a_worker(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(1, 0)])
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[: len(whole) // 2])
    dataset = CocoTopDown(path, tmp_path, image_size=SIZE)
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"^.*0\.png: cannot be decoded.*$") as caught:
            list(sample_batches(DataLoader(dataset, num_workers=workers)))
        assert "\n" not in str(caught.value)


def test_half_body_crops_are_smaller_than_whole_ones(tmp_path: Path) -> None:
    points = np.concatenate([np.random.default_rng(0).uniform(50, 60, (17, 2)), np.full((17, 1), 2.0)], axis=1)
    path = write_set(tmp_path, [person(1, 0, keypoints=points.ravel().tolist())])
    half = Augmentation(shift_probability=0.0, scale=0.0, half_body_probability=1.0)
    assert CocoTopDown(path, tmp_path, image_size=SIZE, augmentation=half)[0]["scale"][0] < 20
    few = points.copy()
    few[8:, 2] = 0
    path = write_set(tmp_path, [person(1, 0, keypoints=few.ravel().tolist(), num_keypoints=8)])
    assert CocoTopDown(path, tmp_path, image_size=SIZE, augmentation=half)[0]["scale"][0] > 90


def test_normalised_pixels_have_imagenet_statistics() -> None:
    images = torch.tensor([124, 116, 104], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert normalise(images).abs().max() < 0.02
    assert normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8)).flatten().tolist() == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [person(1, 9)]}, "image_id 9 is not among images"),
        ({"annotations": [person(1, 0, keypoints=[float("nan")] * 51)]}, "annotation 1: keypoints holds nan"),
        ({"annotations": [person(1, 0, keypoints=[1.0] * 6)]}, "keypoints must be a list of 51 numbers"),
        ({"annotations": [person(1, 0, bbox=None)]}, "annotation 1: bbox must be a list of 4"),
        ({"annotations": [person(1, 0, bbox=[1, 2, 3, "x"])]}, "bbox holds 'x'"),
        ({"annotations": [person(1, 0), person(1, 0)]}, "annotation 1: id"),
        ({"annotations": [person(1, 0, iscrowd=1)]}, "no person with labelled keypoints"),
        ({"annotations": [{**person(1, 0), "image_id": [0]}]}, r"image_id \[0\] is not among images"),
        ({"annotations": {}}, "annotations must be a list"),
        ({"categories": [{"id": 1, "name": "person"}]}, "exactly one category with keypoint names"),
        ({"images": [{"id": 0, "file_name": "../0.png"}]}, "inside the images folder"),
        ({"images": [{"id": 0, "file_name": "0.png"}] * 2}, r"images\[1\].id"),
        ({"images": [{"id": 0, "file_name": "none.png"}]}, r"1 of 1 images .* missing"),
    ],
)
def test_mistakes_in_annotations_are_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write_set(tmp_path, [person(1, 0)], **change)
    with pytest.raises(InputError, match=message) as caught:
        CocoTopDown(path, tmp_path, image_size=SIZE)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "not valid JSON at line 1"),
        ("[1, 2]", "must be an object"),
        ("\xff", "not valid JSON|not a text file"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "people.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        CocoTopDown(path, tmp_path, image_size=SIZE)
    for missing in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(InputError, match=r"no such file|is a folder"):
            CocoTopDown(missing, tmp_path, image_size=SIZE)


def test_a_missing_images_folder_is_named(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(1, 0)])
    with pytest.raises(InputError, match="nowhere: no such images folder"):
        CocoTopDown(path, tmp_path / "nowhere", image_size=SIZE)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}], "image_id 99 is not an image of"),
        ([{"image_id": 0, "category_id": 1, "bbox": [0, 0, 1], "score": 1}], r"\[0\].bbox must be a list of 4"),
        ([{"image_id": 0, "category_id": 1, "bbox": [0, 0, 1, 1]}], r"\[0\].score"),
        ([], "holds no detection"),
        ({"annotations": []}, "must be a list of detections"),
    ],
)
def test_mistakes_in_detections_are_one_line(tmp_path: Path, rows: Any, message: str) -> None:
    path, boxes = write_set(tmp_path, [person(1, 0)]), tmp_path / "boxes.json"
    boxes.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=message):
        CocoTopDown(path, tmp_path, image_size=SIZE, boxes=boxes)


def test_detections_cannot_be_trained_on(tmp_path: Path) -> None:
    path = write_set(tmp_path, [person(1, 0)])
    with pytest.raises(InputError, match="cannot be augmented"):
        CocoTopDown(path, tmp_path, image_size=SIZE, boxes=tmp_path / "boxes.json", augmentation=Augmentation())


def test_people_may_have_two_keypoints(tmp_path: Path) -> None:
    category = {"id": 1, "name": "person", "keypoints": ["left_hand", "right_hand"]}
    path = write_set(tmp_path, [person(1, 0, keypoints=[1.0, 2.0, 2.0] * 2)], categories=[category])
    dataset = CocoTopDown(path, tmp_path, image_size=SIZE)
    assert dataset.skeleton.flip_pairs == ((0, 1),) and dataset[0]["keypoints"].shape == (2, 2)


def test_real_photographs(shared: Path) -> None:
    mini = shared / "data" / "coco_mini"
    annotations = mini / "annotations"
    if not os.path.isdir(mini):
        pytest.skip(f"no coco_mini in {shared / 'data'}")
    for split, people, images in (("train2017", 143, 53), ("val2017", 73, 35)):
        path = annotations / f"person_keypoints_{split}.json"
        dataset = CocoTopDown(path, mini / split, image_size=SIZE, preload=split == "val2017")
        assert (len(dataset), len(dataset.image_ids)) == (people, images)
        assert dataset[people - 1]["image"].shape == (3, 128, 96)
    boxes = annotations / "detections_val2017_AP_H_56.json"
    path = annotations / "person_keypoints_val2017.json"
    assert len(CocoTopDown(path, mini / "val2017", image_size=SIZE, boxes=boxes)) == 118


def test_another_skeleton(shared: Path) -> None:
    folder = shared / "data" / "lspet"
    if not folder.is_dir():
        pytest.skip(f"no lspet in {shared / 'data'}")
    dataset = CocoTopDown(folder / "person_keypoints_val.json", folder / "val", image_size=SIZE)
    assert len(dataset) == 500 and dataset.skeleton.num_keypoints == 14
    assert dataset.skeleton.upper_body == tuple(range(6, 14)) and len(dataset.skeleton.flip_pairs) == 6
