"""A body dressed: every visible part is the convex hull of a few balls in one colour, ready to be drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.poses import SIDES
from sharpose.data.mannequin.skeleton3d import Body, Build

Array = np.ndarray
Colour = tuple[float, float, float]

# Labels of parts in the label image; a keypoint is visible where one of its own parts is what the picture shows.
# Those of limbs are the left one's; the right one's follows.
PROP, HEAD, HAIR, NECK, TRUNK, SKIRT = 0, 1, 2, 3, 4, 17
UPPER_ARM, FOREARM, HAND, THIGH, SHANK, FOOT = 5, 7, 9, 11, 13, 15
LABELS_PER_PERSON = 32
OWN_PARTS = {
    "nose": (HEAD,), "eye": (HEAD,), "ear": (HEAD,), "shoulder": (TRUNK, UPPER_ARM), "elbow": (UPPER_ARM, FOREARM),
    "wrist": (FOREARM, HAND), "hip": (TRUNK, THIGH, SKIRT), "knee": (THIGH, SHANK, SKIRT), "ankle": (SHANK, FOOT),
}  # fmt: skip
PAIRED = (UPPER_ARM, FOREARM, HAND, THIGH, SHANK, FOOT)

# Colours are RGB.
SKINS = ((255, 224, 196), (241, 194, 155), (224, 172, 120), (198, 134, 88), (150, 95, 62), (105, 66, 45), (75, 48, 36))
HAIRS = ((25, 20, 18), (55, 35, 22), (95, 60, 35), (140, 85, 40), (205, 165, 95), (165, 160, 155), (150, 55, 30))

# Balls of the head, (centre, radius) in heights of the head.
FACE = (((0.0, 0.0, 0.08), 0.34), ((0.0, -0.24, 0.09), 0.245))
SKULL = ((0.0, 0.1, -0.04), 0.41)


@dataclass(frozen=True)
class Part:
    """The hull of `balls` (N, 4: x, y, z, radius in statures) in one colour; `label` says what it is.

    Parts are drawn in the order of the depth of `anchor` (by default the mean of the balls) plus `bias`: the larger,
    the later.
    """

    balls: Array
    colour: Colour
    label: int
    bias: float = 0.0
    shaded: bool = True
    anchor: Array | None = None

    @property
    def centre(self) -> Array:
        """Return the point (3,) whose depth decides when the part is drawn."""
        return self.balls[:, :3].mean(axis=0) if self.anchor is None else self.anchor


@dataclass(frozen=True)
class Outfit:
    """Colours and cuts of one person's look; `sleeves` and `legs`: how far arm and leg are covered (2: to the end)."""

    skin: Colour
    hair: Colour
    shirt: Colour
    bottoms: Colour
    shoes: Colour
    sleeves: float
    legs: float
    skirt: bool
    tucked: bool
    hair_style: str
    trim: bool


def sample_outfit(rng: np.random.Generator, background: Colour, parameters: MannequinParameters) -> Outfit:
    """Draw an outfit whose clothes stand out from `background` as far as the difficulty asks."""
    skin = _vary(rng, SKINS[rng.integers(len(SKINS))], 8)
    apart = parameters.colour_distance
    shirt = _clothes_colour(rng, [(background, apart), (skin, 0.6 * apart)])
    bottoms = _clothes_colour(rng, [(background, apart), (shirt, apart), (skin, 0.6 * apart)])
    shoes = _clothes_colour(rng, [(background, apart), (bottoms, 0.5 * apart), (skin, 0.5 * apart)])
    return Outfit(
        skin=skin,
        hair=_vary(rng, HAIRS[rng.integers(len(HAIRS))], 10),
        shirt=shirt,
        bottoms=bottoms,
        shoes=shoes,
        sleeves=float(rng.choice([0.0, 0.55, 0.9, 1.5, 2.0], p=[0.12, 0.33, 0.1, 0.1, 0.35])),
        legs=float(rng.choice([0.5, 0.85, 1.5, 2.0], p=[0.12, 0.2, 0.08, 0.6])),
        skirt=bool(rng.random() < 0.14),
        tucked=bool(rng.random() < 0.4),
        hair_style=str(rng.choice(["short", "long", "bun", "bald", "cap"], p=[0.42, 0.24, 0.1, 0.08, 0.16])),
        trim=bool(rng.random() < 0.35),
    )


def _vary(rng: np.random.Generator, colour: tuple[float, ...], spread: float) -> Colour:
    red, green, blue = np.clip(np.array(colour) + rng.normal(0, spread, 3), 5, 250)
    return float(red), float(green), float(blue)


def _clothes_colour(rng: np.random.Generator, others: list[tuple[Colour, float]]) -> Colour:
    """Return a colour at least the given distances from others; the best of twelve draws where none is."""
    draws = rng.uniform(15, 240, (12, 3))
    margins = np.min([np.linalg.norm(draws - other, axis=1) - apart for other, apart in others], axis=0)
    fitting = np.flatnonzero(margins >= 0)
    red, green, blue = draws[fitting[0] if len(fitting) else int(margins.argmax())]
    return float(red), float(green), float(blue)


def landmarks(build: Build, body: Body) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return keypoints on the head's surface: positions (3,), and outward normals that say from where each is seen."""
    height = build.head
    local = {
        "nose": ((0.0, -0.10, 0.43), (0.0, 0.0, 1.0)),
        "left_eye": ((0.155, 0.04, 0.37), (0.4, 0.0, 0.92)),
        "right_eye": ((-0.155, 0.04, 0.37), (-0.4, 0.0, 0.92)),
        "left_ear": ((0.40, -0.03, -0.02), (0.93, 0.0, 0.37)),
        "right_ear": ((-0.40, -0.03, -0.02), (-0.93, 0.0, 0.37)),
    }
    centre = body.joints["head"]
    positions = {name: centre + body.head @ (height * np.array(at)) for name, (at, _) in local.items()}
    normals = {name: body.head @ np.array(normal) for name, (_, normal) in local.items()}
    return positions, normals


def dress(build: Build, body: Body, outfit: Outfit, mode: str) -> list[Part]:
    """Return all parts of one person, in no particular order."""
    parts = _head(build, body, outfit) + _trunk(build, body, outfit)
    for index, side in enumerate(SIDES):
        parts += _arm(build, body, outfit, side, index) + _leg(build, body, outfit, side, index)
    if outfit.skirt:
        parts.append(_skirt(build, body, outfit))
    if mode == "sitting":
        parts += _stool(body)
    return parts


def balls_of(*balls: tuple[Array, float]) -> Array:
    """Return balls (N, 4), x, y, z and radius, from centres (3,) and radii."""
    return np.array([[*centre, radius] for centre, radius in balls])


def _darker(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def head_part(build: Build, body: Body) -> Part:
    """Return skull and face without hair: what a head box is drawn around."""
    height, centre = build.head, body.joints["head"]
    balls = [(centre + body.head @ (height * np.array(where)), radius * height) for where, radius in (*FACE, SKULL)]
    return Part(balls_of(*balls), (0.0, 0.0, 0.0), HEAD)


def _head(build: Build, body: Body, outfit: Outfit) -> list[Part]:
    height, centre = build.head, body.joints["head"]

    def at(x: float, y: float, z: float) -> Array:
        """Return the point (3,) of the body at a place on the head, in units of the head's size."""
        return centre + body.head @ (height * np.array([x, y, z]))

    def part(colour: Colour, label: int, *balls: tuple[Array, float], bias: float = 0.02, shaded: bool = False) -> Part:
        return Part(balls_of(*((where, radius * height) for where, radius in balls)), colour, label, bias, shaded)

    points, _ = landmarks(build, body)
    skin, bald = outfit.skin, outfit.hair_style == "bald"
    parts = [
        part(skin, HEAD, *((at(*where), radius) for where, radius in FACE), shaded=True),
        part(skin if bald else outfit.hair, HEAD if bald else HAIR, (at(*SKULL[0]), SKULL[1]), bias=0.01, shaded=True),
    ]
    for side in SIDES:
        parts.append(part((250, 250, 250), HEAD, (points[f"{side}_eye"], 0.065), bias=0.03))
        parts.append(part((20, 20, 30), HEAD, (points[f"{side}_eye"], 0.04), bias=0.035))
        lobe = at(0.39 if side == "left" else -0.39, -0.11, -0.02)
        parts.append(part(_darker(skin, 0.88), HEAD, (points[f"{side}_ear"], 0.085), (lobe, 0.05), bias=0.025))
    parts.append(part(_darker(skin, 0.7), HEAD, (points["nose"], 0.055), (at(0, 0.02, 0.40), 0.025), bias=0.04))
    parts.append(part((150, 45, 50), HEAD, (at(-0.09, -0.27, 0.31), 0.03), (at(0.09, -0.27, 0.31), 0.03), bias=0.03))
    return parts + _hair(part, at, outfit)


def _hair(part: Callable[..., Part], at: Callable[[float, float, float], Array], outfit: Outfit) -> list[Part]:
    if outfit.hair_style == "long":
        tips = [(at(sign * 0.2, -0.6, -0.24), 0.2) for sign in (1, -1)]
        return [part(outfit.hair, HAIR, (at(0, 0.0, -0.18), 0.40), *tips, bias=-0.025)]
    if outfit.hair_style == "bun":
        return [part(outfit.hair, HAIR, (at(0, 0.5, -0.2), 0.19), bias=0.0)]
    if outfit.hair_style == "cap":
        crown = part(outfit.shoes, HAIR, (at(0, 0.2, 0.0), 0.40), (at(0, 0.3, 0.0), 0.36), bias=0.012, shaded=True)
        rim = [(at(*where), 0.07) for where in ((-0.2, 0.26, 0.42), (0.2, 0.26, 0.42), (0, 0.27, 0.55))]
        return [crown, part(_darker(outfit.shoes, 0.8), HAIR, *rim)]
    return []


def _trunk(build: Build, body: Body, outfit: Outfit) -> list[Part]:
    bulk, joints, chest, pelvis = build.bulk, body.joints, body.chest, body.pelvis
    down = np.array([0.0, -1.0, 0.0])
    shoulders = [(joints[f"{side}_shoulder"] + chest @ down * 0.012, 0.036 * bulk) for side in SIDES]
    # the waist, with the chest's orientation
    flanks = [(joints["waist"] + chest @ np.array([sign * 0.045, 0.0, 0.0]), 0.042 * bulk) for sign in (1, -1)]
    hips = [(joints[f"{side}_hip"] + pelvis @ np.array([0.0, 0.015, 0.0]), 0.046 * bulk) for side in SIDES]
    collar = [(joints["collar"] + chest @ np.array([0.0, -0.02, 0.0]), 0.035 * bulk)]
    crotch = [(joints["pelvis"] + pelvis @ down * 0.035, 0.03 * bulk)]
    shirt_low = 0.0 if outfit.tucked else -0.012
    waistband = [(centre + pelvis @ np.array([0.0, shirt_low + 0.01, 0.0]), radius) for centre, radius in hips]
    neck = balls_of(
        (joints["collar"], 0.028 * bulk**0.5), (joints["head_base"] + chest @ np.array([0, 0.02, 0]), 0.028 * bulk**0.5)
    )
    parts = [
        Part(neck, _darker(outfit.skin, 0.9), NECK, -0.015),
        Part(balls_of(*shoulders, *collar, *flanks), outfit.shirt, TRUNK, 0.0),
        Part(balls_of(*flanks, *hips, *crotch), outfit.bottoms, TRUNK, -0.008),
    ]
    if not outfit.tucked:
        parts.append(Part(balls_of(*flanks, *waistband), outfit.shirt, TRUNK, -0.002))
    if outfit.trim:
        # Buttons down the front: seen from behind they lie behind the shirt.
        front = 0.042 * bulk + 0.004
        top = joints["collar"] + chest @ np.array([0.0, -0.035, front])
        low = joints["waist"] + chest @ np.array([0.0, 0.0, front])
        parts.append(Part(balls_of((top, 0.006), (low, 0.006)), _darker(outfit.shirt, 0.5), TRUNK, 0.002, shaded=False))
    return parts


def _limb(
    joints: tuple[Array, Array, Array],
    radii: tuple[float, float, float],
    cover: float,
    colours: tuple[Colour, Colour],
    labels: tuple[int, int],
    bias: float,
) -> list[Part]:
    """Return both halves of a limb in skin, and cloth over the first `cover` of it (1: to the elbow or knee, 2: all).

    `joints`: three points (3,), from shoulder or hip outwards.
    """
    skin, cloth = colours
    parts = []
    for half in range(2):
        start, end, near, far = joints[half], joints[half + 1], radii[half], radii[half + 1]
        share = float(np.clip(cover - half, 0.0, 1.0))
        # Like the upper half, the lower one hides its own end under what comes before: it is drawn a little earlier.
        extra, middle = bias - 0.004 * half, (start + end) / 2
        if share < 1.0:
            parts.append(Part(balls_of((start, near), (end, far)), skin, labels[half], extra))
        if share > 0.0:
            edge, loose = start + share * (end - start), 1.08 if share < 1.0 else 1.0
            cuff = (near + share * (far - near)) * loose
            parts.append(
                Part(balls_of((start, near * loose), (edge, cuff)), cloth, labels[half], extra + 0.002, anchor=middle)
            )
    return parts


def _arm(build: Build, body: Body, outfit: Outfit, side: str, index: int) -> list[Part]:
    bulk, joints = build.bulk, body.joints
    chain = (joints[f"{side}_shoulder"], joints[f"{side}_elbow"], joints[f"{side}_wrist"])
    radii = (0.034 * bulk, 0.026 * bulk, 0.019 * bulk)
    labels = (UPPER_ARM + index, FOREARM + index)
    parts = _limb(chain, radii, outfit.sleeves, (outfit.skin, outfit.shirt), labels, 0.022)
    wrist, fingers = chain[2], joints[f"{side}_fingers"]
    palm = wrist + 0.45 * (fingers - wrist)
    hand = balls_of((wrist, 0.016 * bulk), (palm, 0.023 * bulk**0.5), (fingers, 0.012))
    return [*parts, Part(hand, outfit.skin, HAND + index, 0.024)]


def _leg(build: Build, body: Body, outfit: Outfit, side: str, index: int) -> list[Part]:
    bulk, joints = build.bulk, body.joints
    chain = (joints[f"{side}_hip"], joints[f"{side}_knee"], joints[f"{side}_ankle"])
    radii = (0.052 * bulk, 0.036 * bulk, 0.023 * bulk)
    labels = (THIGH + index, SHANK + index)
    cover = 0.3 if outfit.skirt else outfit.legs
    parts = _limb(chain, radii, cover, (outfit.skin, outfit.bottoms), labels, -0.012)
    shoe = balls_of((chain[2], 0.024), (joints[f"{side}_heel"], 0.024), (joints[f"{side}_toes"], 0.02))
    return [*parts, Part(shoe, outfit.shoes, FOOT + index, -0.01)]


def _skirt(build: Build, body: Body, outfit: Outfit) -> Part:
    hem = []
    for side in SIDES:
        hip, knee = body.joints[f"{side}_hip"], body.joints[f"{side}_knee"]
        hem.append((hip + (0.45 + 0.2 * outfit.legs) * (knee - hip), 0.056 * build.bulk))
    hips = [(body.joints[f"{side}_hip"], 0.052 * build.bulk) for side in SIDES]
    return Part(balls_of(*hips, *hem), outfit.bottoms, SKIRT, -0.004)


def _stool(body: Body) -> list[Part]:
    """Return what a sitting person sits on; drawn, but no part of the person."""
    pelvis = body.joints["pelvis"]
    low = min(body.joints[f"{side}_ankle"][1] for side in SIDES)
    top = pelvis + np.array([0.0, -0.075, 0.0])
    seat = [(top + np.array([x, 0.0, z]), 0.018) for x in (-0.11, 0.11) for z in (-0.06, 0.12)]
    foot = np.array([pelvis[0], low, pelvis[2]])
    wood = (110.0, 80.0, 55.0)
    return [
        Part(balls_of((top, 0.03), (foot, 0.035)), _darker(wood, 0.8), PROP, -0.16),
        Part(balls_of(*seat), wood, PROP, -0.13),
    ]
