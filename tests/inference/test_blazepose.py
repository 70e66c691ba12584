"""BlazePose's points come back from the crop to the picture, averaged over the flip test."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from sharpose.data.coco import CocoTopDown
from sharpose.inference import blazepose
from sharpose.inference.blazepose import INPUT, LANDMARKS, predict_blazepose
from sharpose.pose.geometry import box_to_center_scale, transform_points, udp_warp_matrix
from sharpose.pose.skeleton import COCO
from sharpose.runtime.errors import InputError
from tests.evaluation.test_coco import write_people


@pytest.fixture
def dataset(tmp_path):
    return CocoTopDown(write_people(tmp_path, images=1), tmp_path, image_size=(256, 192))


def answers(monkeypatch, found):
    """Each look at a crop gets the next of `found`."""
    left = iter(found)

    @contextmanager
    def landmarker():
        yield lambda picture: next(left)

    monkeypatch.setattr(blazepose, "landmarker", landmarker)


def in_crop(person):
    matrix = udp_warp_matrix(*box_to_center_scale(person.bbox_xywh, INPUT), 0.0, INPUT)
    return np.column_stack([transform_points(person.keypoints, matrix), np.full(17, 0.75)])


def test_points_are_those_of_the_picture(dataset, monkeypatch):
    first, second = dataset.instances
    mirrored = in_crop(second)[list(COCO.flip_order)] * (-1, 1, 1) + np.array([INPUT[1] - 1, 0, 0])
    # off by four pixels of the crop to one side in one look, and nowhere in the other
    answers(monkeypatch, [in_crop(first), None, in_crop(second) + np.array([4, 0, 0]), mirrored])
    found = predict_blazepose(dataset)
    np.testing.assert_allclose(found.keypoints[0], first.keypoints, atol=1e-6)
    # a pixel of the crop, in those of the picture
    pixel = second.bbox_xywh[2] * 1.25 / (INPUT[1] - 1)
    np.testing.assert_allclose(found.keypoints[1], second.keypoints + np.array([2 * pixel, 0]), atol=1e-6)
    np.testing.assert_allclose(found.keypoint_scores, 0.75)
    np.testing.assert_allclose(found.areas, [(person.bbox_xywh[2] * 1.25) ** 2 for person in dataset.instances])


def test_who_is_not_seen_stands_in_the_middle_with_score_0(dataset, monkeypatch):
    answers(monkeypatch, [None, in_crop(dataset.instances[1])])
    found = predict_blazepose(dataset, flip_test=False)
    x, y, width, height = dataset.instances[0].bbox_xywh
    np.testing.assert_allclose(found.keypoints[0], np.tile([x + width / 2, y + height / 2], (17, 1)), atol=1e-6)
    assert (found.keypoint_scores[0] == 0).all() and (found.keypoint_scores[1] == 0.75).all()


def test_its_landmarks_are_coco_s():
    assert len(LANDMARKS) == len(set(LANDMARKS)) == 17
    # BlazePose names left before right from the eyes on
    assert all(LANDMARKS[right] - LANDMARKS[left] in (1, 3) for left, right in COCO.flip_pairs)


def test_without_the_package_one_line_says_how(dataset, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(InputError, match=r"this needs mediapipe: pip install 'sharpose\[mediapipe\]'"):
        predict_blazepose(dataset)
