"""Angles of joints: their limits, the modes people are found in, and draws from them. All in degrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

SIDES = ("left", "right")

# Joint limits, in degrees. For the arms: flexion raises forwards, abduction sideways, twist turns the bent forearm
# outwards (up, when the arm is abducted). Legs likewise; the knee only bends backwards and the elbow only forwards.
LIMITS: dict[str, tuple[float, float]] = {
    "lean": (-20, 70), "roll": (-30, 30), "bend": (-20, 45), "side_bend": (-25, 25), "turn": (-35, 35),
    "head_yaw": (-60, 60), "head_pitch": (-35, 40), "head_roll": (-30, 30),
    "shoulder_flex": (-45, 175), "shoulder_abd": (-15, 170), "shoulder_twist": (-90, 95), "elbow": (0, 145),
    "hip_flex": (-30, 120), "hip_abd": (-12, 65), "hip_twist": (-35, 45), "knee": (0, 145),
}  # fmt: skip

# Correlated modes: angle -> (mean, standard deviation).
Normal = tuple[float, float]
Mode = dict[str, Normal]


def _arms(rows: Mapping[str, tuple[float, Normal, Normal, Normal, Normal]]) -> dict[str, tuple[float, Mode]]:
    """Return modes of an arm after their weights, from weight, shoulder (flexion, abduction, twist) and elbow."""
    names = ("shoulder_flex", "shoulder_abd", "shoulder_twist", "elbow")
    return {name: (weight, dict(zip(names, angles, strict=True))) for name, (weight, *angles) in rows.items()}


def _leg(flex: Normal, abd: Normal, knee: Normal, twist: Normal = (6, 8)) -> Mode:
    return {"hip_flex": flex, "hip_abd": abd, "hip_twist": twist, "knee": knee}


@dataclass(frozen=True)
class Posture:
    """How a body is held, how often, and the arms it allows (None: any).

    legs: of both, or of two unlike ones. trunk: what it does not name is near rest. turn: of the whole body about its
    own x (forwards) and z axes before it stands in the room.
    """

    weight: float
    legs: Sequence[Mode]
    trunk: Mode
    turn: tuple[float, float] = (0.0, 0.0)
    arms: tuple[str, ...] | None = None


ARM_MODES = _arms({
    "hanging": (30, (3, 10), (14, 8), (0, 25), (18, 14)),
    "swinging": (12, (0, 32), (12, 8), (-10, 20), (45, 30)),
    "on hip": (12, (-8, 8), (47, 10), (-72, 10), (85, 12)),
    "waving": (13, (0, 10), (85, 22), (80, 12), (80, 28)),
    "raised": (13, (10, 15), (145, 18), (50, 40), (28, 22)),
    "spread": (13, (5, 12), (78, 20), (10, 40), (22, 18)),
    "folded": (8, (30, 15), (15, 8), (-35, 20), (105, 20)),
    "reaching": (7, (70, 25), (18, 15), (0, 25), (35, 28)),
})  # fmt: skip
LEG_MODES = {
    "standing": Posture(42, [_leg((2, 5), (6, 5), (5, 5), twist=(8, 8))], {"lean": (1, 4)}),
    "wide": Posture(12, [_leg((4, 6), (24, 8), (8, 8), twist=(12, 8))], {"lean": (1, 5)}),
    "walking": Posture(
        18, [_leg((26, 9), (5, 4), (14, 10)), _leg((-14, 6), (5, 4), (22, 14))], {"lean": (3, 4), "turn": (0, 8)}
    ),
    "running": Posture(
        10, [_leg((55, 14), (5, 5), (75, 20)), _leg((-16, 8), (5, 4), (45, 30))], {"lean": (10, 6), "turn": (0, 12)}
    ),
    "lunging": Posture(
        7, [_leg((62, 14), (18, 12), (70, 18), twist=(15, 10)), _leg((-10, 8), (14, 10), (14, 12))], {"lean": (5, 8)}
    ),
    "kicking": Posture(7, [_leg((20, 25), (48, 12), (15, 15)), _leg((2, 4), (6, 5), (8, 8))], {"side_bend": (0, 10)}),
    "sitting": Posture(8, [_leg((84, 10), (15, 9), (84, 14), twist=(5, 8))], {"lean": (0, 7)}),
    "crouching": Posture(4, [_leg((92, 18), (24, 12), (112, 16), twist=(15, 10))], {"lean": (12, 8)}),
    "jumping": Posture(8, [_leg((22, 20), (30, 14), (42, 28), twist=(15, 10))], {"lean": (0, 6)}),
    "bowing": Posture(3, [_leg((3, 5), (9, 6), (8, 8))], {"lean": (24, 10), "bend": (18, 9)}),
}
TRUNK_REST: Mode = {
    "lean": (0, 4), "roll": (0, 4), "bend": (2, 5), "side_bend": (0, 5), "turn": (0, 8),
    "head_yaw": (0, 14), "head_pitch": (3, 9), "head_roll": (0, 7),
}  # fmt: skip

# Version 2 adds what people do on seats, on the floor and close to it.
ARM_MODES_2 = ARM_MODES | _arms({
    "holding": (12, (35, 15), (12, 8), (-30, 20), (80, 22)),
    "lifting": (6, (120, 25), (15, 12), (0, 25), (50, 35)),
    "propping": (0, (64, 6), (8, 5), (0, 10), (6, 5)),
    "beside": (0, (4, 4), (30, 22), (0, 25), (20, 15)),
    "overhead": (0, (6, 6), (150, 18), (20, 30), (40, 35)),
    "upright": (0, (168, 6), (8, 5), (0, 10), (5, 4)),
})  # fmt: skip
_STILL: Mode = {"lean": (0, 3), "roll": (0, 2), "bend": (0, 5)}
_ON_FLOOR = ("hanging", "holding", "folded", "reaching")
_WEIGHTS_2 = {"standing": 22, "sitting": 12, "crouching": 5, "bowing": 4, "wide": 9, "walking": 12}
POSTURES = {
    name: replace(posture, weight=_WEIGHTS_2.get(name, 0.7 * posture.weight)) for name, posture in LEG_MODES.items()
} | {
    "sitting": replace(LEG_MODES["sitting"], weight=_WEIGHTS_2["sitting"], trunk={"lean": (8, 14)}),
    "bending": Posture(
        7,
        [_leg((8, 10), (10, 7), (18, 14))],
        {"lean": (52, 14), "bend": (26, 12), "side_bend": (0, 12), "turn": (0, 15), "head_pitch": (-10, 18)},
        arms=("hanging", "reaching", "holding", "swinging", "lifting"),
    ),
    "leaning": Posture(
        5,
        [_leg((4, 6), (14, 9), (8, 8))],
        {"roll": (0, 14), "side_bend": (0, 20), "turn": (0, 18), "head_roll": (0, 14)},
    ),
    "legs out": Posture(
        2, [_leg((88, 5), (14, 11), (6, 5), twist=(6, 10))], {"lean": (4, 10), "bend": (10, 10)}, arms=_ON_FLOOR
    ),
    "knees up": Posture(
        2, [_leg((116, 5), (10, 8), (86, 9), twist=(6, 10))], {"lean": (4, 10), "bend": (12, 10)}, arms=_ON_FLOOR
    ),
    "cross-legged": Posture(
        2,
        [_leg((106, 5), (42, 8), (126, 7), twist=(41, 3))],
        {"lean": (4, 8), "bend": (8, 9)},
        arms=(*_ON_FLOOR, "lifting"),
    ),
    "kneeling": Posture(3, [_leg((8, 10), (10, 6), (98, 8))], {"lean": (8, 10), "bend": (6, 10)}),
    "on one knee": Posture(2, [_leg((88, 8), (12, 8), (88, 8)), _leg((0, 6), (8, 5), (95, 8))], {"lean": (8, 10)}),
    "on all fours": Posture(
        3, [_leg((64, 6), (8, 6), (86, 7))], _STILL | {"head_pitch": (-20, 12)}, turn=(64.0, 0.0), arms=("propping",)
    ),
    "on the back": Posture(
        4,
        [_leg((5, 2), (10, 8), (5, 4), twist=(8, 12)), _leg((33, 3), (12, 8), (56, 5), twist=(8, 8))],
        _STILL,
        turn=(-90.0, 0.0),
        arms=("beside", "overhead", "folded", "holding"),
    ),
    "on the belly": Posture(
        3,
        [_leg((-4, 3), (10, 8), (22, 24))],
        _STILL | {"bend": (-10, 6), "head_pitch": (-12, 10)},
        turn=(90.0, 0.0),
        arms=("overhead", "beside"),
    ),
    "on the side": Posture(
        3.5,
        [_leg((40, 25), (0, 3), (55, 30))],
        _STILL | {"bend": (12, 10)},
        turn=(0.0, 90.0),
        arms=("folded", "reaching", "holding"),
    ),
    "reclining": Posture(
        3,
        [_leg((48, 5), (8, 6), (8, 7))],
        _STILL | {"bend": (16, 10), "head_pitch": (14, 10)},
        turn=(-48.0, 0.0),
        arms=("beside", "holding", "folded", "hanging"),
    ),
    "on the hands": Posture(
        1, [_leg((6, 14), (14, 12), (14, 18))], _STILL | {"head_pitch": (-18, 8)}, turn=(178.0, 0.0), arms=("upright",)
    ),
}
LYING = ("on the back", "on the belly", "on the side")
# how people are turned: share, middle and deviation in degrees; half of the side views are from the other side
VIEWS = ((0.71, 0.0, 35.0), (0.13, 90.0, 26.0), (0.16, 180.0, 38.0))


@dataclass(frozen=True)
class Pose:
    """Angles of one person in degrees: `trunk` once, `arms` and `legs` per side; `mode` is that of the legs."""

    mode: str
    yaw: float
    trunk: dict[str, float]
    arms: dict[str, dict[str, float]]
    legs: dict[str, dict[str, float]]


def sample_pose(rng: np.random.Generator, max_yaw: float) -> Pose:
    """Return a mode for the legs, one per arm (mostly the same), seen within `max_yaw` degrees of the front."""
    mode = choose(rng, {name: posture.weight for name, posture in LEG_MODES.items()})
    arms = _choose_arms(rng, {name: weight for name, (weight, _) in ARM_MODES.items()}, alike=0.6)
    yaw = float(rng.uniform(-max_yaw, max_yaw))
    return _hold(rng, mode, LEG_MODES[mode], TRUNK_REST, arms, yaw)


def sample_posture(rng: np.random.Generator) -> Pose:
    """Return a posture of version 2 with fitting arms, seen from any side; `yaw` is how it is turned in the room."""
    mode = choose(rng, {name: posture.weight for name, posture in POSTURES.items()})
    allowed = POSTURES[mode].arms
    weights = {
        name: weight if allowed is None else max(weight, 1.0)
        for name, (weight, _) in ARM_MODES_2.items()
        if allowed is None or name in allowed
    }
    arms = _choose_arms(rng, weights, alike=0.5)
    _, middle, deviation = VIEWS[int(rng.choice(len(VIEWS), p=[share for share, *_ in VIEWS]))]
    yaw = float(rng.normal(middle, deviation) * (1 if rng.random() < 0.5 else -1))
    if mode in LYING:
        yaw = float(rng.uniform(-180, 180))
    rest = TRUNK_REST | {"turn": (0, 11), "head_yaw": (0, 24), "head_pitch": (3, 12)}
    return _hold(rng, mode, POSTURES[mode], rest, arms, yaw)


def choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """Return one of the names, as often as their weights say."""
    values = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def _choose_arms(rng: np.random.Generator, weights: Mapping[str, float], alike: float) -> dict[str, str]:
    """Return the mode of each arm by its side, the leading side first; both have the same as often as `alike` says."""
    first = choose(rng, weights)
    second = first if rng.random() < alike else choose(rng, weights)
    order = SIDES if rng.random() < 0.5 else SIDES[::-1]
    return dict(zip(order, (first, second), strict=True))


def _hold(
    rng: np.random.Generator, mode: str, posture: Posture, trunk_rest: Mode, arms: Mapping[str, str], yaw: float
) -> Pose:
    """Draw the angles of a posture; the first of two unlike legs is on the side that leads the arms."""
    legs = posture.legs
    return Pose(
        mode=mode,
        yaw=yaw,
        trunk=_draw(rng, trunk_rest | posture.trunk),
        arms={side: _draw(rng, ARM_MODES_2[name][1]) for side, name in arms.items()},
        legs={side: _draw(rng, leg) for side, leg in zip(arms, (legs[0], legs[-1]), strict=True)},
    )


def _draw(rng: np.random.Generator, mode: Mode) -> dict[str, float]:
    draws = rng.standard_normal(len(mode)).clip(-2.2, 2.2)
    return {
        name: float(np.clip(mean + sd * draw, *LIMITS[name]))
        for (name, (mean, sd)), draw in zip(mode.items(), draws, strict=True)
    }
