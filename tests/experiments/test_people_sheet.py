"""The sheet of generated people: labels drawn where they are, in the colours of their side."""

from __future__ import annotations

import numpy as np

from experiments.tools.people_sheet import CELL, COLUMNS, HIDDEN, JOINT, LEFT, RIGHT, sheet, with_labels
from sharpose.data.mannequin.scene import Scene
from sharpose.pose.skeleton import COCO


def test_left_is_green_right_is_red_and_hidden_joints_are_rings() -> None:
    points = np.zeros((17, 3), int)
    names = COCO.keypoint_names
    for side, x in (("right", 20), ("left", 80)):
        for part, y in (("shoulder", 20), ("elbow", 50), ("wrist", 80)):
            points[names.index(f"{side}_{part}")] = x, y, 2
    points[names.index("left_wrist"), 2] = 1
    scene = Scene(np.zeros((100, 100, 3), np.uint8), [{"keypoints": points.reshape(-1).tolist()}])
    drawn = with_labels(scene)
    for place, colour in (((35, 80), LEFT), ((35, 20), RIGHT), ((80, 20), JOINT), ((80, 78), HIDDEN)):
        np.testing.assert_allclose(drawn[place], colour, atol=40)
    assert not scene.image.any()


def test_pictures_lie_in_rows() -> None:
    numbers = tuple(range(1, COLUMNS + 1))
    assert sheet(((1, numbers), (1, numbers))).shape == (2 * CELL, COLUMNS * CELL, 3)
