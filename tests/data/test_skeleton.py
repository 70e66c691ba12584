"""Keypoint layouts from COCO categories."""

from __future__ import annotations

from typing import Any

import pytest

from sharpose.data.skeleton import COCO, COCO_CATEGORY, MPII, Skeleton
from sharpose.errors import InputError


def test_coco_pairs_and_sigmas() -> None:
    assert COCO.flip_pairs == tuple((i, i + 1) for i in range(1, 17, 2))
    assert COCO.upper_body == tuple(range(11))
    tenths = [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
    assert COCO.sigmas == pytest.approx([value / 10 for value in tenths])
    assert COCO.limbs[0] == (15, 13) and len(COCO.limbs) == 19


def test_mpii_pairs_and_upper_body() -> None:
    assert {tuple(sorted(pair)) for pair in MPII.flip_pairs} == {(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)}
    assert MPII.upper_body == tuple(range(7, 16))


def test_flip_order_is_its_own_inverse() -> None:
    for skeleton in (COCO, MPII):
        order = skeleton.flip_order
        assert [order[i] for i in order] == list(range(skeleton.num_keypoints))


def test_sigmas_come_from_the_argument_then_the_file_then_the_names() -> None:
    category: dict[str, Any] = {"keypoints": ["left_knee", "right_knee", "neck"]}
    assert Skeleton.from_category(category).sigmas == (0.087, 0.087, 0.079)
    in_file = {**category, "sigmas": [0.1, 0.2, 0.3]}
    assert Skeleton.from_category(in_file).sigmas == (0.1, 0.2, 0.3)
    assert Skeleton.from_category(in_file, sigmas=[0.5, 0.5, 0.5]).sigmas == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": None}, "list of keypoint names"),
        ({"keypoints": ["nose", "nose"], "skeleton": []}, "same name twice"),
        ({"skeleton": [[0, 1]]}, "pairs of numbers from 1 to 17"),
        ({"sigmas": [0.1]}, "17 positive numbers"),
        ({"sigmas": [-0.1] * 17}, "17 positive numbers"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Skeleton.from_category({**COCO_CATEGORY, **change})
