"""Keypoint layouts: names, left/right pairs, OKS sigmas, body halves and limbs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharpose.errors import InputError

_COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
# for keypoints that COCO does not have (neck, top of the head, thorax): as uncertain as a shoulder
_OTHER_SIGMA = 0.079
_LOWER_BODY = ("hip", "knee", "ankle", "pelvis", "heel", "toe", "foot")


def flip_order(flip_pairs: Sequence[tuple[int, int]], num_keypoints: int) -> tuple[int, ...]:
    """The permutation that swaps left and right keypoints."""
    order = list(range(num_keypoints))
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    return tuple(order)


@dataclass(frozen=True)
class Skeleton:
    """A keypoint layout. Indices count from 0; `sigmas` are OKS standard deviations relative to the object's size."""

    keypoint_names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    upper_body: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...]

    @property
    def num_keypoints(self) -> int:
        return len(self.keypoint_names)

    @property
    def flip_order(self) -> tuple[int, ...]:
        """The permutation that swaps left and right."""
        return flip_order(self.flip_pairs, self.num_keypoints)

    @classmethod
    def from_category(cls, category: Mapping[str, Any], sigmas: Sequence[float] | None = None) -> Skeleton:
        """The layout of a COCO category: `keypoints` (names), optional `skeleton` (pairs counted from 1) and `sigmas`.

        Pairs are found by name ("left_knee" and "right_knee"). Sigmas: the argument, else the category's, else COCO's
        by name and .079 for names COCO does not have. Raises InputError.
        """
        names = category.get("keypoints")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise InputError("categories[].keypoints must be a list of keypoint names")
        if len(set(names)) != len(names):
            raise InputError("categories[].keypoints has the same name twice")
        chosen = sigmas if sigmas is not None else category.get("sigmas") or [_sigma(name) for name in names]
        fitting = isinstance(chosen, list | tuple) and len(chosen) == len(names)
        if not fitting or not all(isinstance(s, int | float) and 0 < s < math.inf for s in chosen):
            raise InputError(f"sigmas must be {len(names)} positive numbers, one per keypoint")
        return cls(
            keypoint_names=tuple(names),
            flip_pairs=_pairs(names),
            sigmas=tuple(float(s) for s in chosen),
            upper_body=tuple(i for i, name in enumerate(names) if not any(part in name for part in _LOWER_BODY)),
            limbs=_limbs(category.get("skeleton") or [], len(names)),
        )


def known_skeleton(num_keypoints: int) -> Skeleton | None:
    """The layout that a number of keypoints stands for, COCO's or MPII's; None where neither has it."""
    return next((one for one in LAYOUTS.values() if one.num_keypoints == num_keypoints), None)


def wanted_layout(num_keypoints: int) -> Skeleton:
    """The layout onto which keypoints are matched by name. Raises InputError where a model has neither known one."""
    layout = known_skeleton(num_keypoints)
    if layout is None:
        raise InputError(
            f"--by-name works for models of COCO's 17 or MPII's 16 keypoints; this one has {num_keypoints}"
        )
    return layout


def _sigma(name: str) -> float:
    return next((sigma for part, sigma in _COCO_SIGMAS.items() if name.split("_")[-1] == part), _OTHER_SIGMA)


def _pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    found = []
    for i, name in enumerate(names):
        partner = name.replace("left", "right", 1)
        if partner != name and partner in names:
            found.append((i, names.index(partner)))
    return tuple(found)


def _limbs(skeleton: Sequence[Sequence[int]], num_keypoints: int) -> tuple[tuple[int, int], ...]:
    for limb in skeleton if isinstance(skeleton, list | tuple) else [skeleton]:
        pair = isinstance(limb, list | tuple) and len(limb) == 2
        if not pair or not all(isinstance(end, int) and 1 <= end <= num_keypoints for end in limb):
            raise InputError(
                f"categories[].skeleton must hold pairs of numbers from 1 to {num_keypoints}, not {limb!r}"
            )
    return tuple((a - 1, b - 1) for a, b in skeleton)


COCO_CATEGORY: dict[str, Any] = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": [
        "nose",
        *(f"{side}_{part}" for part in list(_COCO_SIGMAS)[1:] for side in ("left", "right")),
    ],
    "skeleton": [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
        [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
    ],
}  # fmt: skip

COCO = Skeleton.from_category(COCO_CATEGORY)
MPII = Skeleton.from_category(
    {
        "keypoints": [
            "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
            "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
            "left_wrist",
        ],
        "skeleton": [
            [1, 2], [2, 3], [3, 7], [7, 4], [4, 5], [5, 6], [7, 8], [8, 9], [9, 10],
            [8, 13], [13, 12], [12, 11], [8, 14], [14, 15], [15, 16],
        ],
    }
)  # fmt: skip
LAYOUTS = {"coco": COCO, "mpii": MPII}
