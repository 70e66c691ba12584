"""Keypoint layouts from COCO categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharpose.pose.skeleton import COCO, COCO_CATEGORY, MPII, Skeleton
from sharpose.runtime.errors import InputError


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


def test_sigmas_come_from_the_file_then_the_names() -> None:
    category: dict[str, Any] = {"keypoints": ["left_knee", "right_knee", "neck"]}
    assert Skeleton.from_category(category).sigmas == (0.087, 0.087, 0.079)
    in_file = {**category, "sigmas": [0.1, 0.2, 0.3]}
    assert Skeleton.from_category(in_file).sigmas == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": None}, "list of keypoint names"),
        ({"keypoints": ["nose", "nose"], "skeleton": []}, "same name twice"),
        ({"keypoints": ["Nose", "nose"]}, "one name in several spellings: Nose, nose"),
        ({"flip_pairs": [["nose", "tail"]]}, "flip_pairs must be a list of pairs of keypoint names"),
        ({"flip_pairs": [["nose", "left_eye"], ["nose", "left_ear"]]}, "flip_pairs has the same name twice"),
        ({"sigmas": [0.1]}, "17 positive numbers"),
        ({"sigmas": [-0.1] * 17}, "17 positive numbers"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Skeleton.from_category({**COCO_CATEGORY, **change})


@pytest.mark.parametrize(
    "spell",
    [
        lambda side, part: f"{side[0].upper()}_{part}",
        lambda side, part: f"{side} {part}",
        lambda side, part: f"{part}-{side}",
        lambda side, part: f"{side.title()} {part.title()}",
        lambda side, part: f"{side}{part.title()}",
        lambda side, part: f"{part}_{side[0]}",
        lambda side, part: f"{side}{part}",
        lambda side, part: f"{side[0]}{part}",
        lambda side, part: f"{side}_{part}".upper(),
    ],
)
def test_any_spelling_has_the_pairs_and_sigmas_of_coco(spell: Callable[[str, str], str]) -> None:
    names = [spell(*name.split("_")) if "_" in name else name.title() for name in COCO.keypoint_names]
    assert Skeleton.from_category({**COCO_CATEGORY, "keypoints": names}) == COCO


def test_what_is_supplied_by_rule_is_noted() -> None:
    assert not COCO.notes
    category: dict[str, Any] = {"keypoints": ["left_knee", "right_knee", "tail"], "sigmas": [0.1] * 3}
    (middle,) = Skeleton.from_category(category).notes
    assert "neither left nor right: tail" in middle
    (sigmas,) = Skeleton.from_category({"keypoints": ["left_eye", "right_eye", "neck"]}).notes
    assert "for neck: 0.079" in sigmas and "not comparable" in sigmas
    from_zero = [[a - 1, b - 1] for a, b in COCO_CATEGORY["skeleton"]]
    shifted = Skeleton.from_category({**COCO_CATEGORY, "skeleton": from_zero})
    assert shifted.limbs == COCO.limbs and "counts from 0" in shifted.notes[0]
    odd = Skeleton.from_category({**COCO_CATEGORY, "skeleton": [[16, 14], [1, 40], "x"]})
    assert odd.limbs == ((15, 13),) and "2 lines" in odd.notes[0]


def test_pairs_can_be_named() -> None:
    category = {"keypoints": ["ojo_i", "ojo_d", "nariz"], "flip_pairs": [["ojo_i", "ojo_d"]]}
    assert Skeleton.from_category(category).flip_pairs == ((0, 1),)
    assert Skeleton.from_category({**category, "flip_pairs": []}).flip_pairs == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nose", "L_eye"], "no partner on the other side is named for L_eye; "),
        (["a1", "a2"], "show no left and right (a1, a2); "),
    ],
)
def test_sides_that_cannot_be_told_are_a_problem(names: list[str], message: str) -> None:
    problem = Skeleton.from_category({"keypoints": names}).problem
    assert message in problem and "flip_pairs" in problem and "--by-name" in problem
    assert not Skeleton.from_category({"keypoints": names, "flip_pairs": []}).problem
