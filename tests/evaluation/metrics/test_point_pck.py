"""PCK of points, and intervals of shares."""

from __future__ import annotations

import numpy as np
import pytest

from sharpose.evaluation.metrics.point_pck import pck
from sharpose.evaluation.metrics.shares import share_bootstrap
from sharpose.pose.skeleton import MPII, Skeleton

TWO = Skeleton.from_category({"keypoints": ["left_hand", "right_hand"]})


def test_torso_is_the_diagonal_from_left_shoulder_to_right_hip() -> None:
    names = MPII.keypoint_names
    truth, visible, boxes = np.zeros((2, 16, 2)), np.ones((2, 16)), np.full((2, 4), 500.0)
    truth[:, names.index("left_shoulder")] = (30.0, 40.0)
    predicted = truth.copy()
    predicted[0, 0, 0] = 10.0
    predicted[0, 1, 0] = 10.01
    # without a right hip the second person's other diagonal counts, and without hips no torso
    visible[1, names.index("right_hip")] = 0
    truth[1, names.index("right_shoulder")] = (3.0, 4.0)
    predicted[1] = truth[1] + [0, 1.01]
    assert pck(predicted, truth, visible, boxes, MPII).value == 15 / 31
    predicted[1] = truth[1] + [0, 0.99]
    assert pck(predicted, truth, visible, boxes, MPII).value == 30 / 31
    visible[1, names.index("left_hip")] = 0
    result = pck(predicted, truth, visible, boxes, MPII)
    assert (result.measure, result.threshold, result.people) == ("torso", 0.2, 1)
    assert result.value == 15 / 16 and result.per_keypoint[1] == 0 and result.per_keypoint[0] == 1


def test_without_a_torso_the_longer_side_of_the_box_counts() -> None:
    truth, boxes = np.zeros((1, 2, 2)), np.array([[0, 0, 100.0, 60.0]])
    predicted = np.array([[[5.0, 0], [5.1, 0]]])
    result = pck(predicted, truth, np.ones((1, 2)), boxes, TWO)
    assert (result.measure, result.value) == ("box", 0.5)
    nobody = pck(predicted, truth, np.array([[1.0, 0]]), boxes, TWO)
    assert nobody.value == 1 and np.isnan(nobody.per_keypoint[1])


def test_intervals_resample_images_and_are_paired() -> None:
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(100), 3)
    counted = rng.random((300, 4)) < 0.9
    right = rng.random((300, 4)) < 0.7
    first = share_bootstrap(right, counted, images, resamples=400)
    value = (right & counted).sum() / counted.sum()
    low, high = first.interval()
    assert low < value < high and high - low < 0.12
    assert np.mean(first.replicates) == pytest.approx(value, abs=0.01)
    # the same images are drawn for another model, so a model that is right once more is never worse
    better = right.copy()
    better[tuple(np.argwhere(~right)[0])] = True
    assert (share_bootstrap(better, counted, images, resamples=400).replicates >= first.replicates).all()
    # one image: every resample is that image
    assert set(share_bootstrap(right, counted, np.zeros(300, int), 5).replicates) == {value}


def test_replicates_are_those_of_their_seed() -> None:
    """Records keep them and are paired by seed, so another order of draws would mix what does not match."""
    rng = np.random.default_rng(0)
    right, counted = rng.random((30, 4)) < 0.7, rng.random((30, 4)) < 0.8
    drawn = share_bootstrap(right, counted, np.arange(30) // 2, resamples=4)
    assert drawn.seed == 0 and drawn.replicates.tolist() == pytest.approx([1 / 2, 17 / 29, 25 / 43, 50 / 91], abs=1e-12)
