"""The control: the mean pose of those in whom a keypoint is visible."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.mean_pose import mean_pose_control
from sharpose.pose.skeleton import COCO_CATEGORY


def test_hidden_keypoints_do_not_count(tmp_path: Path) -> None:
    """Two of three people show their nose, at .2 and .4 of the box's width: its mean is .3, not .2 of three."""
    boxes, noses = ((0, 0, 100, 50), (10, 20, 50, 50), (5, 5, 20, 40)), (0.2, 0.4, None)
    people = []
    for number, ((x, y, width, height), nose) in enumerate(zip(boxes, noses, strict=True)):
        points = np.array([[x + width / 2, y + height / 2, 2]] * 17)
        points[0] = [0, 0, 0] if nose is None else [x + nose * width, y + height / 4, 2]
        person = {"id": number, "image_id": 1, "category_id": 1, "bbox": [x, y, width, height], "iscrowd": 0}
        people.append({**person, "area": width * height, "keypoints": points.ravel().tolist(), "num_keypoints": 17})
    (tmp_path / "1.jpg").touch()
    # without the picture's size boxes are as annotated
    images = [{"id": 1, "file_name": "1.jpg"}]
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [COCO_CATEGORY]}))
    (control, *_) = mean_pose_control(path, CocoTopDown(path, tmp_path, image_size=(64, 48)))
    points = np.asarray(control["keypoints"]).reshape(17, 3)
    assert points[0, :2] == pytest.approx([30.0, 12.5])
    assert points[1:, :2] == pytest.approx(np.tile([50.0, 25.0], (16, 1)))
