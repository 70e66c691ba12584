"""Angles of joints: their limits, the modes people are found in, and draws from them. All in degrees."""

from __future__ import annotations

from dataclasses import dataclass

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

# Correlated modes, each after its weight: angle -> (mean, standard deviation). What a mode does not name is near rest.
Mode = dict[str, tuple[float, float]]
ARM_MODES: dict[str, tuple[float, Mode]] = {
    "hanging": (30, {"shoulder_flex": (3, 10), "shoulder_abd": (14, 8), "shoulder_twist": (0, 25), "elbow": (18, 14)}),
    "swinging": (
        12,
        {"shoulder_flex": (0, 32), "shoulder_abd": (12, 8), "shoulder_twist": (-10, 20), "elbow": (45, 30)},
    ),
    "on hip": (
        12,
        {"shoulder_flex": (-8, 8), "shoulder_abd": (47, 10), "shoulder_twist": (-72, 10), "elbow": (85, 12)},
    ),
    "waving": (13, {"shoulder_flex": (0, 10), "shoulder_abd": (85, 22), "shoulder_twist": (80, 12), "elbow": (80, 28)}),
    "raised": (
        13,
        {"shoulder_flex": (10, 15), "shoulder_abd": (145, 18), "shoulder_twist": (50, 40), "elbow": (28, 22)},
    ),
    "spread": (13, {"shoulder_flex": (5, 12), "shoulder_abd": (78, 20), "shoulder_twist": (10, 40), "elbow": (22, 18)}),
    "folded": (
        8,
        {"shoulder_flex": (30, 15), "shoulder_abd": (15, 8), "shoulder_twist": (-35, 20), "elbow": (105, 20)},
    ),
    "reaching": (
        7,
        {"shoulder_flex": (70, 25), "shoulder_abd": (18, 15), "shoulder_twist": (0, 25), "elbow": (35, 28)},
    ),
}
LEG_MODES: dict[str, tuple[float, dict[str, Mode], Mode]] = {
    # weight, {"both": ...} or {"first": ..., "second": ...} for two unlike legs, trunk
    "standing": (42, {
        "both": {"hip_flex": (2, 5), "hip_abd": (6, 5), "hip_twist": (8, 8), "knee": (5, 5)},
    }, {"lean": (1, 4)}),
    "wide": (12, {
        "both": {"hip_flex": (4, 6), "hip_abd": (24, 8), "hip_twist": (12, 8), "knee": (8, 8)},
    }, {"lean": (1, 5)}),
    "walking": (18, {
        "first": {"hip_flex": (26, 9), "hip_abd": (5, 4), "knee": (14, 10)},
        "second": {"hip_flex": (-14, 6), "hip_abd": (5, 4), "knee": (22, 14)},
    }, {"lean": (3, 4), "turn": (0, 8)}),
    "running": (10, {
        "first": {"hip_flex": (55, 14), "hip_abd": (5, 5), "knee": (75, 20)},
        "second": {"hip_flex": (-16, 8), "hip_abd": (5, 4), "knee": (45, 30)},
    }, {"lean": (10, 6), "turn": (0, 12)}),
    "lunging": (7, {
        "first": {"hip_flex": (62, 14), "hip_abd": (18, 12), "hip_twist": (15, 10), "knee": (70, 18)},
        "second": {"hip_flex": (-10, 8), "hip_abd": (14, 10), "knee": (14, 12)},
    }, {"lean": (5, 8)}),
    "kicking": (7, {
        "first": {"hip_flex": (20, 25), "hip_abd": (48, 12), "knee": (15, 15)},
        "second": {"hip_flex": (2, 4), "hip_abd": (6, 5), "knee": (8, 8)},
    }, {"side_bend": (0, 10)}),
    "sitting": (8, {
        "both": {"hip_flex": (84, 10), "hip_abd": (15, 9), "hip_twist": (5, 8), "knee": (84, 14)},
    }, {"lean": (0, 7)}),
    "crouching": (4, {
        "both": {"hip_flex": (92, 18), "hip_abd": (24, 12), "hip_twist": (15, 10), "knee": (112, 16)},
    }, {"lean": (12, 8)}),
    "jumping": (8, {
        "both": {"hip_flex": (22, 20), "hip_abd": (30, 14), "hip_twist": (15, 10), "knee": (42, 28)},
    }, {"lean": (0, 6)}),
    "bowing": (3, {
        "both": {"hip_flex": (3, 5), "hip_abd": (9, 6), "knee": (8, 8)},
    }, {"lean": (24, 10), "bend": (18, 9)}),
}  # fmt: skip
ARM_REST: Mode = {"shoulder_flex": (0, 8), "shoulder_abd": (12, 6), "shoulder_twist": (0, 15), "elbow": (15, 10)}
LEG_REST: Mode = {"hip_flex": (0, 4), "hip_abd": (5, 4), "hip_twist": (6, 8), "knee": (5, 5)}
TRUNK_REST: Mode = {
    "lean": (0, 4), "roll": (0, 4), "bend": (2, 5), "side_bend": (0, 5), "turn": (0, 8),
    "head_yaw": (0, 14), "head_pitch": (3, 9), "head_roll": (0, 7),
}  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Angles of one person in degrees: `trunk` once, `arms` and `legs` per side; `mode` is that of the legs."""

    mode: str
    yaw: float
    trunk: dict[str, float]
    arms: dict[str, dict[str, float]]
    legs: dict[str, dict[str, float]]


def sample_pose(rng: np.random.Generator, max_yaw: float) -> Pose:
    """A mode for the legs, one for each arm (mostly the same), seen from within `max_yaw` degrees of the front."""
    mode = _choose(rng, {name: entry[0] for name, entry in LEG_MODES.items()})
    _, legs, trunk = LEG_MODES[mode]
    leg_modes = [legs["both"]] * 2 if "both" in legs else [legs["first"], legs["second"]]
    arm_weights = {name: entry[0] for name, entry in ARM_MODES.items()}
    first = _choose(rng, arm_weights)
    second = first if rng.random() < 0.6 else _choose(rng, arm_weights)
    order = SIDES if rng.random() < 0.5 else SIDES[::-1]
    return Pose(
        mode=mode,
        yaw=float(rng.uniform(-max_yaw, max_yaw)),
        trunk=_draw(rng, TRUNK_REST | trunk),
        arms={
            side: _draw(rng, ARM_REST | ARM_MODES[name][1]) for side, name in zip(order, (first, second), strict=True)
        },
        legs={side: _draw(rng, LEG_REST | entry) for side, entry in zip(order, leg_modes, strict=True)},
    )


def _choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    values = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def _draw(rng: np.random.Generator, mode: Mode) -> dict[str, float]:
    draws = rng.standard_normal(len(mode)).clip(-2.2, 2.2)
    return {
        name: float(np.clip(mean + sd * draw, *LIMITS[name]))
        for (name, (mean, sd)), draw in zip(mode.items(), draws, strict=True)
    }


# Version 2 adds what people do on seats, on the floor and close to it. Each posture: weight, legs, trunk, the turn of
# the whole body about its own x (forwards) and z axes before it stands in the room, and the arms it allows (None: any).
@dataclass(frozen=True)
class Posture:
    """How a body is held: see `POSTURES`."""

    weight: float
    legs: dict[str, Mode]
    trunk: Mode
    turn: tuple[float, float] = (0.0, 0.0)
    arms: tuple[str, ...] | None = None


ARM_MODES_2: dict[str, tuple[float, Mode]] = ARM_MODES | {
    "holding": (
        12,
        {"shoulder_flex": (35, 15), "shoulder_abd": (12, 8), "shoulder_twist": (-30, 20), "elbow": (80, 22)},
    ),
    "lifting": (
        6,
        {"shoulder_flex": (120, 25), "shoulder_abd": (15, 12), "shoulder_twist": (0, 25), "elbow": (50, 35)},
    ),
    "propping": (
        0,
        {"shoulder_flex": (64, 6), "shoulder_abd": (8, 5), "shoulder_twist": (0, 10), "elbow": (6, 5)},
    ),
    "beside": (
        0,
        {"shoulder_flex": (4, 4), "shoulder_abd": (30, 22), "shoulder_twist": (0, 25), "elbow": (20, 15)},
    ),
    "overhead": (
        0,
        {"shoulder_flex": (6, 6), "shoulder_abd": (150, 18), "shoulder_twist": (20, 30), "elbow": (40, 35)},
    ),
    "upright": (
        0,
        {"shoulder_flex": (168, 6), "shoulder_abd": (8, 5), "shoulder_twist": (0, 10), "elbow": (5, 4)},
    ),
}
_FLAT_LEGS: dict[str, Mode] = {
    "first": {"hip_flex": (5, 2), "hip_abd": (10, 8), "hip_twist": (8, 12), "knee": (5, 4)},
    "second": {"hip_flex": (33, 3), "hip_abd": (12, 8), "hip_twist": (8, 8), "knee": (56, 5)},
}
_STILL: Mode = {"lean": (0, 3), "roll": (0, 2), "bend": (0, 5)}
_WEIGHTS_2 = {"standing": 22, "sitting": 12, "crouching": 5, "bowing": 4, "wide": 9, "walking": 12}
POSTURES: dict[str, Posture] = {
    name: Posture(_WEIGHTS_2.get(name, 0.7 * weight), legs, trunk | ({"lean": (8, 14)} if name == "sitting" else {}))
    for name, (weight, legs, trunk) in LEG_MODES.items()
} | {
    "bending": Posture(
        7,
        {"both": {"hip_flex": (8, 10), "hip_abd": (10, 7), "knee": (18, 14)}},
        {"lean": (52, 14), "bend": (26, 12), "side_bend": (0, 12), "turn": (0, 15), "head_pitch": (-10, 18)},
        arms=("hanging", "reaching", "holding", "swinging", "lifting"),
    ),
    "leaning": Posture(
        5,
        {"both": {"hip_flex": (4, 6), "hip_abd": (14, 9), "knee": (8, 8)}},
        {"roll": (0, 14), "side_bend": (0, 20), "turn": (0, 18), "head_roll": (0, 14)},
    ),
    "legs out": Posture(
        2,
        {"both": {"hip_flex": (88, 5), "hip_abd": (14, 11), "hip_twist": (6, 10), "knee": (6, 5)}},
        {"lean": (4, 10), "bend": (10, 10)},
        arms=("hanging", "holding", "folded", "reaching"),
    ),
    "knees up": Posture(
        2,
        {"both": {"hip_flex": (116, 5), "hip_abd": (10, 8), "hip_twist": (6, 10), "knee": (86, 9)}},
        {"lean": (4, 10), "bend": (12, 10)},
        arms=("hanging", "holding", "folded", "reaching"),
    ),
    "cross-legged": Posture(
        2,
        {"both": {"hip_flex": (106, 5), "hip_abd": (42, 8), "hip_twist": (41, 3), "knee": (126, 7)}},
        {"lean": (4, 8), "bend": (8, 9)},
        arms=("hanging", "holding", "folded", "reaching", "lifting"),
    ),
    "kneeling": Posture(
        3,
        {"both": {"hip_flex": (8, 10), "hip_abd": (10, 6), "knee": (98, 8)}},
        {"lean": (8, 10), "bend": (6, 10)},
    ),
    "on one knee": Posture(
        2,
        {
            "first": {"hip_flex": (88, 8), "hip_abd": (12, 8), "knee": (88, 8)},
            "second": {"hip_flex": (0, 6), "hip_abd": (8, 5), "knee": (95, 8)},
        },
        {"lean": (8, 10)},
    ),
    "on all fours": Posture(
        3,
        {"both": {"hip_flex": (64, 6), "hip_abd": (8, 6), "knee": (86, 7)}},
        _STILL | {"head_pitch": (-20, 12)},
        turn=(64.0, 0.0),
        arms=("propping",),
    ),
    "on the back": Posture(4, _FLAT_LEGS, _STILL, turn=(-90.0, 0.0), arms=("beside", "overhead", "folded", "holding")),
    "on the belly": Posture(
        3,
        {"both": {"hip_flex": (-4, 3), "hip_abd": (10, 8), "knee": (22, 24)}},
        _STILL | {"bend": (-10, 6), "head_pitch": (-12, 10)},
        turn=(90.0, 0.0),
        arms=("overhead", "beside"),
    ),
    "on the side": Posture(
        3.5,
        {"both": {"hip_flex": (40, 25), "hip_abd": (0, 3), "knee": (55, 30)}},
        _STILL | {"bend": (12, 10)},
        turn=(0.0, 90.0),
        arms=("folded", "reaching", "holding"),
    ),
    "reclining": Posture(
        3,
        {"both": {"hip_flex": (48, 5), "hip_abd": (8, 6), "knee": (8, 7)}},
        _STILL | {"bend": (16, 10), "head_pitch": (14, 10)},
        turn=(-48.0, 0.0),
        arms=("beside", "holding", "folded", "hanging"),
    ),
    "on the hands": Posture(
        1,
        {"both": {"hip_flex": (6, 14), "hip_abd": (14, 12), "knee": (14, 18)}},
        _STILL | {"head_pitch": (-18, 8)},
        turn=(178.0, 0.0),
        arms=("upright",),
    ),
}
LYING = ("on the back", "on the belly", "on the side")
# how people are turned: share, middle and deviation in degrees; half of the side views are from the other side
VIEWS = ((0.71, 0.0, 35.0), (0.13, 90.0, 26.0), (0.16, 180.0, 38.0))


def sample_posture(rng: np.random.Generator) -> Pose:
    """A posture of version 2 with arms that go with it, seen from any side; `yaw` is how it is turned in the room."""
    mode = _choose(rng, {name: posture.weight for name, posture in POSTURES.items()})
    posture = POSTURES[mode]
    legs, allowed = posture.legs, posture.arms
    leg_modes = [legs["both"]] * 2 if "both" in legs else [legs["first"], legs["second"]]
    weights = {name: max(entry[0], 1.0) for name, entry in ARM_MODES_2.items() if name in (allowed or ARM_MODES_2)}
    if allowed is None:
        weights = {name: ARM_MODES_2[name][0] for name in weights}
    first = _choose(rng, weights)
    second = first if rng.random() < 0.5 else _choose(rng, weights)
    order = SIDES if rng.random() < 0.5 else SIDES[::-1]
    _, middle, deviation = VIEWS[int(rng.choice(len(VIEWS), p=[share for share, *_ in VIEWS]))]
    yaw = float(rng.normal(middle, deviation) * (1 if rng.random() < 0.5 else -1))
    trunk_rest = TRUNK_REST | {"turn": (0, 11), "head_yaw": (0, 24), "head_pitch": (3, 12)}
    return Pose(
        mode=mode,
        yaw=yaw if mode not in LYING else float(rng.uniform(-180, 180)),
        trunk=_draw(rng, trunk_rest | posture.trunk),
        arms={
            side: _draw(rng, ARM_REST | ARM_MODES_2[name][1]) for side, name in zip(order, (first, second), strict=True)
        },
        legs={side: _draw(rng, LEG_REST | entry) for side, entry in zip(order, leg_modes, strict=True)},
    )
