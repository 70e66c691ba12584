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
