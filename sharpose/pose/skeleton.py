"""Keypoint layouts: names, left/right pairs, OKS sigmas, body halves and limbs.

Names are compared in one spelling, `left_shoulder`: that of "Left Shoulder", "shoulder-left", "L_shoulder" and
"lShoulder" too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpose.runtime.errors import InputError

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
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
# what has no partner on the other side
_MIDDLE = {
    *("nose", "neck", "head", "head_top", "top_head", "upper_neck", "chin", "mouth", "forehead"),
    *("thorax", "chest", "spine", "torso", "belly", "pelvis", "root"),
}
# words of a name: "leftEye" has two, "LEye" too
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+|\d+")


def flip_order(flip_pairs: Sequence[tuple[int, int]], num_keypoints: int) -> tuple[int, ...]:
    """Return the permutation that swaps left and right keypoints."""
    order = list(range(num_keypoints))
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    return tuple(order)


@dataclass(frozen=True)
class Skeleton:
    """A keypoint layout. Indices count from 0; `sigmas` are OKS standard deviations relative to the object's size.

    notes: what was supplied by rule, because the category does not say it. problem: why left and right cannot be told,
    so that no picture may be mirrored; "" where they can.
    """

    keypoint_names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    upper_body: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    problem: str = field(default="", compare=False, repr=False)

    @property
    def num_keypoints(self) -> int:
        """Return how many keypoints a person has."""
        return len(self.keypoint_names)

    @property
    def flip_order(self) -> tuple[int, ...]:
        """Return the permutation that swaps left and right."""
        return flip_order(self.flip_pairs, self.num_keypoints)

    @classmethod
    def from_category(cls, category: Mapping[str, Any]) -> Skeleton:
        """Return the layout of a COCO category: `keypoints` (names), optional `skeleton`, `sigmas` and `flip_pairs`.

        Pairs: `flip_pairs`, a list of pairs of names ([] for none), else found by name in any spelling; a side without
        its partner, or names that show no side at all, are a `problem`, as mirrored pictures would be mislabelled.
        Sigmas: the category's, else COCO's by name and .079, noted, for names COCO does not have.
        `skeleton` is only drawn: pairs of numbers from 1; a list that has a 0 counts from 0, and lines that are no
        pairs are left out; both are noted. Raises InputError.
        """
        names = category.get("keypoints")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise InputError("categories[].keypoints must be a list of keypoint names")
        if len(set(names)) != len(names):
            raise InputError("categories[].keypoints has the same name twice")
        spelled = [one_spelling(name) for name in names]
        if len(set(spelled)) != len(spelled):
            twice = [name for name, one in zip(names, spelled, strict=True) if spelled.count(one) > 1]
            raise InputError(f"categories[].keypoints has one name in several spellings: {', '.join(twice)}")
        notes: list[str] = []
        chosen = category.get("sigmas") or _sigmas(spelled, notes)
        fitting = isinstance(chosen, list | tuple) and len(chosen) == len(names)
        if not fitting or not all(type(s) in (int, float) and 0 < s < math.inf for s in chosen):
            raise InputError(f"sigmas must be {len(names)} positive numbers, one per keypoint")
        given = category.get("flip_pairs")
        pairs, problem = _pairs(names, spelled, notes) if given is None else (_given_pairs(names, given), "")
        return cls(
            keypoint_names=tuple(spelled),
            flip_pairs=pairs,
            sigmas=tuple(float(s) for s in chosen),
            upper_body=tuple(i for i, name in enumerate(spelled) if not any(part in name for part in _LOWER_BODY)),
            limbs=_limbs(category.get("skeleton") or [], len(names), notes),
            notes=tuple(notes),
            problem=problem,
        )


def one_spelling(name: str) -> str:
    """Return `left_eye` for Left Eye, eye-left, L_eye, leftEye and lefteye, `head_top` for Head Top.

    Names that show no side and are not known stay as they are.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if len(words) == 1 and (glued := _take_side_off(words[0])):
        words = glued
    sides = [word for word in words if word in _SIDES]
    if len(sides) == 1 and len(words) > 1:
        words.remove(sides[0])
        return "_".join([_SIDES[sides[0]], *words])
    joined = "_".join(words)
    return joined if joined in _MIDDLE else name


def _take_side_off(word: str) -> list[str] | None:
    """Return side and rest of "lefteye", "eyeleft" and, for parts of COCO's people, "leye"."""
    for side in ("left", "right"):
        for rest in (word.removeprefix(side), word.removesuffix(side)):
            if rest and rest != word:
                return [side, rest]
    return [_SIDES[word[0]], word[1:]] if word[0] in _SIDES and word[1:] in _COCO_SIGMAS else None


def _side(name: str) -> str | None:
    """Return the side that a name in our spelling begins with."""
    return next((side for side in ("left", "right") if name.startswith(f"{side}_")), None)


def known_skeleton(num_keypoints: int) -> Skeleton | None:
    """Return the layout that a number of keypoints stands for, COCO's or MPII's; None where neither has it."""
    return next((one for one in LAYOUTS.values() if one.num_keypoints == num_keypoints), None)


def wanted_layout(num_keypoints: int) -> Skeleton:
    """Return the layout onto which keypoints are matched by name. Raises InputError where a model has neither."""
    layout = known_skeleton(num_keypoints)
    if layout is None:
        raise InputError(
            f"--by-name works for models of COCO's 17 or MPII's 16 keypoints; this one has {num_keypoints}"
        )
    return layout


def _sigmas(names: Sequence[str], notes: list[str]) -> list[float]:
    parts = [name.removeprefix("left_").removeprefix("right_") for name in names]
    unknown = [name for name, part in zip(names, parts, strict=True) if part not in _COCO_SIGMAS]
    if unknown:
        notes.append(
            f"no sigmas are given, and COCO has none for {', '.join(unknown)}: {_OTHER_SIGMA} is taken, so that AP is "
            "not comparable with COCO's (categories[].sigmas sets them)"
        )
    return [_COCO_SIGMAS.get(part, _OTHER_SIGMA) for part in parts]


def _pairs(names: Sequence[str], spelled: Sequence[str], notes: list[str]) -> tuple[tuple[tuple[int, int], ...], str]:
    """Return left and right of each pair, and why there may be more."""
    found, alone = [], []
    for i, name in enumerate(spelled):
        side = _side(name)
        other = {"left": "right", "right": "left"}.get(side or "")
        partner = None if side is None else f"{other}_{name.removeprefix(f'{side}_')}"
        if partner is not None and partner not in spelled:
            alone.append(names[i])
        elif side == "left":
            found.append((i, spelled.index(str(partner))))
    way = (
        'say which are left and right by categories[].flip_pairs, [["LEFT NAME", "RIGHT NAME"], ...] or [] for none, '
        "or match them with the model's by their names (--by-name)"
    )
    problem = ""
    if alone:
        problem = f"categories[].keypoints: no partner on the other side is named for {', '.join(alone)}; {way}"
    middle = [names[i] for i, name in enumerate(spelled) if _side(name) is None and name not in _MIDDLE]
    if not found and len(middle) > 1:
        problem = f"categories[].keypoints: the names show no left and right ({', '.join(middle)}); {way}"
    if middle and found:
        notes.append(f"taken as lying in the middle, neither left nor right: {', '.join(middle)}")
    return tuple(found), problem


def _given_pairs(names: Sequence[str], given: Any) -> tuple[tuple[int, int], ...]:
    """Return pairs of names as pairs of indices. Raises InputError for unknown or repeated names."""
    pairs = given if isinstance(given, list) else [given]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(name in names for name in pair) for pair in pairs):
        raise InputError("categories[].flip_pairs must be a list of pairs of keypoint names")
    used = [name for pair in pairs for name in pair]
    if len(set(used)) != len(used):
        raise InputError("categories[].flip_pairs has the same name twice")
    return tuple((names.index(left), names.index(right)) for left, right in pairs)


def _limbs(skeleton: Any, num_keypoints: int, notes: list[str]) -> tuple[tuple[int, int], ...]:
    """Return lines to draw, counted from 0."""
    every = skeleton if isinstance(skeleton, list | tuple) else [skeleton]
    pairs = [
        limb
        for limb in every
        if isinstance(limb, list | tuple)
        and len(limb) == 2
        and all(type(end) is int and 0 <= end <= num_keypoints for end in limb)
    ]
    first = 0 if any(0 in limb for limb in pairs) else 1
    kept = tuple((a - first, b - first) for a, b in pairs if max(a, b) - first < num_keypoints)
    if first == 0:
        notes.append("categories[].skeleton counts from 0 instead of 1; it is only drawn")
    if len(kept) < len(every):
        notes.append(f"{len(every) - len(kept)} lines of categories[].skeleton are no pairs of keypoints; left out")
    return kept


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
