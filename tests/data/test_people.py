"""People in memory: what is never read is not kept, what is read is exact, and each takes little."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from array import array
from pathlib import Path

import numpy as np
import pytest

from sharpose.data.annotations import load_pose_file
from sharpose.data.augment import Augmentation
from sharpose.data.coco import CocoTopDown
from sharpose.data.people import Columns, compacted
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.runtime.errors import InputError

PEOPLE, CORNERS = 600, 200
COCO_TRAIN = 149_813
"""Labelled people of train2017."""


def write(folder: Path, change=lambda row: row) -> Path:
    """A file like COCO's: images with addresses, people with polygons of a few hundred numbers."""
    draw = random.Random(0)
    pictures = [{"id": n, "file_name": f"{n}.jpg", "height": 480, "width": 640} for n in range(PEOPLE // 4)]
    for one in pictures:
        one |= {"coco_url": "http://images.cocodataset.org/" + one["file_name"], "license": 4}
        (folder / one["file_name"]).touch()
    rows = []
    for n in range(PEOPLE):
        box = [round(draw.uniform(1, 300), 2) for _ in range(4)]
        points = [v for _ in range(17) for v in (int(box[0]) + 5, int(box[1]) + draw.randrange(5), draw.choice((1, 2)))]
        row = {"id": n + 7, "image_id": draw.randrange(len(pictures)), "category_id": 1, "iscrowd": 0, "area": 900.5}
        row |= {"bbox": box, "keypoints": points, "num_keypoints": 17}
        row["segmentation"] = [[round(draw.uniform(0, 640), 2) for _ in range(CORNERS)]]
        rows.append(change(row))
    path = folder / "people.json"
    path.write_text(json.dumps({"images": pictures, "annotations": rows, "categories": [COCO_CATEGORY]}))
    return path


def kept_bytes(path: Path, **how) -> float:
    """Memory that an open data set keeps, per person."""
    gc.collect()
    tracemalloc.start()
    dataset = CocoTopDown(path, path.parent, image_size=(64, 48), **how)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept / len(dataset)


def test_polygons_and_addresses_are_not_kept(tmp_path):
    path = write(tmp_path)
    pose_file = load_pose_file(path)
    assert len(pose_file.annotations) == PEOPLE
    assert not any("segmentation" in row for row in pose_file.annotations)
    assert isinstance(pose_file.annotations[0]["keypoints"], array)
    # a polygon alone would take 32 bytes for each of its numbers
    assert kept_bytes(path) < 1500 < 32 * CORNERS


def test_training_keeps_the_people_and_not_the_rows(tmp_path):
    path = write(tmp_path)
    each = kept_bytes(path, augmentation=Augmentation())
    # COCO's training people take no more than 600 MB in a process; docs/scale.md says 70
    assert each < 700 and each * COCO_TRAIN <= 600e6
    training = CocoTopDown(path, tmp_path, image_size=(64, 48), augmentation=Augmentation())
    evaluation = CocoTopDown(path, tmp_path, image_size=(64, 48))
    assert len(training.pose_file.annotations) == 0 and len(evaluation.pose_file.annotations) == PEOPLE
    assert training.pose_file.skeleton == evaluation.pose_file.skeleton
    assert [one.instance_id for one in training.instances] == [one.instance_id for one in evaluation.instances]


def test_every_number_is_that_of_the_file(tmp_path):
    path = write(tmp_path)
    rows = {row["id"]: row for row in json.loads(path.read_text())["annotations"]}
    dataset = CocoTopDown(path, tmp_path, image_size=(64, 48))
    for one in dataset.instances:
        row = rows[one.instance_id]
        points = np.array(row["keypoints"], dtype=np.float64).reshape(17, 3)
        assert one.image_id == row["image_id"] and one.area == row["area"] and one.box_score == 1.0
        assert np.array_equal(one.keypoints, points[:, :2]) and np.array_equal(one.visible, points[:, 2] > 0)
        assert one.keypoints.dtype == one.visible.dtype == one.weights.dtype == np.float64
        assert one.weights.tolist() == [1.0] * 17
    assert dataset.image_ids == sorted({r["image_id"] for r in rows.values()})
    assert [one.instance_id for one in dataset.instances[-2:]] == [dataset.instances[-2].instance_id, PEOPLE + 6]
    with pytest.raises(IndexError):
        dataset.instances[PEOPLE]


def test_keypoints_between_pixels_stay_exact(tmp_path):
    def shift(row):
        return {**row, "keypoints": [v + 0.1 if at % 3 == 0 else v for at, v in enumerate(row["keypoints"])]}

    dataset = CocoTopDown(write(tmp_path, shift), tmp_path, image_size=(64, 48))
    first = dataset.instances[0]
    assert first.keypoints[0, 0] == int(first.bbox_xywh[0]) + 5 + 0.1


@pytest.mark.parametrize("points", [[True] * 51, [1, 2, 2] * 16 + [1, 2, "2"], [10**6] * 51, [0.5] * 51, []])
def test_what_is_no_list_of_small_whole_numbers_is_left_to_the_reader(points):
    assert compacted({"keypoints": list(points), "segmentation": 1}) == {"keypoints": points}


def test_a_wrong_keypoint_is_still_named(tmp_path):
    path = write(tmp_path, lambda row: {**row, "keypoints": [*row["keypoints"][:-1], True]})
    with pytest.raises(InputError, match=r"annotation 7: keypoints holds True"):
        load_pose_file(path)


def test_an_instance_is_a_copy():
    people = Columns(3, 2)
    fields = {"bbox_xywh": (0, 0, 4, 4), "keypoints": 1.5, "visible": [1, 0], "weights": [0.25, 1]}
    people.add(instance_id=5, image_id=1, area=16.0, box_score=0.5, **fields)
    found = people.people()
    found[0].keypoints[:] = 9
    found[0].bbox_xywh[:] = 9
    assert len(found) == 1 and found[0].keypoints.tolist() == [[1.5, 1.5]] * 2
    assert found[0].bbox_xywh.tolist() == [0, 0, 4, 4] and found[0].weights.tolist() == [0.25, 1]
    assert (found[0].instance_id, found[0].image_id, found[0].box_score) == (5, 1, 0.5)
