"""A person as a skeleton in three dimensions: build, pose within joint limits, and forward kinematics.

Axes of a body: x to the person's own left, y up, z forward. A person facing the camera therefore shows their left on the image's right.
Angles are in degrees, lengths in units of the person's stature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("left", "right")
Array = np.ndarray

# Joint limits, in degrees. For the arms: flexion raises forwards, abduction sideways, twist turns the bent forearm outwards (up, when the
# arm is abducted). Legs likewise; the knee only bends backwards and the elbow only forwards.
LIMITS: dict[str, tuple[float, float]] = {
    "lean": (-20, 70), "roll": (-30, 30), "bend": (-20, 45), "side_bend": (-25, 25), "turn": (-35, 35),
    "head_yaw": (-60, 60), "head_pitch": (-35, 40), "head_roll": (-30, 30),
    "shoulder_flex": (-45, 175), "shoulder_abd": (-15, 170), "shoulder_twist": (-90, 95), "elbow": (0, 145),
    "hip_flex": (-30, 120), "hip_abd": (-12, 65), "hip_twist": (-35, 45), "knee": (0, 145),
}  # fmt: skip

# Correlated modes: angle -> (mean, standard deviation); what a mode does not name is near rest. The number before is its weight.
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
    "standing": (42, {"both": {"hip_flex": (2, 5), "hip_abd": (6, 5), "hip_twist": (8, 8), "knee": (5, 5)}}, {"lean": (1, 4)}),
    "wide": (12, {"both": {"hip_flex": (4, 6), "hip_abd": (24, 8), "hip_twist": (12, 8), "knee": (8, 8)}}, {"lean": (1, 5)}),
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
    "sitting": (8, {"both": {"hip_flex": (84, 10), "hip_abd": (15, 9), "hip_twist": (5, 8), "knee": (84, 14)}}, {"lean": (0, 7)}),
    "crouching": (4, {"both": {"hip_flex": (92, 18), "hip_abd": (24, 12), "hip_twist": (15, 10), "knee": (112, 16)}}, {"lean": (12, 8)}),
    "jumping": (8, {"both": {"hip_flex": (22, 20), "hip_abd": (30, 14), "hip_twist": (15, 10), "knee": (42, 28)}}, {"lean": (0, 6)}),
    "bowing": (3, {"both": {"hip_flex": (3, 5), "hip_abd": (9, 6), "knee": (8, 8)}}, {"lean": (24, 10), "bend": (18, 9)}),
}  # fmt: skip
ARM_REST: Mode = {"shoulder_flex": (0, 8), "shoulder_abd": (12, 6), "shoulder_twist": (0, 15), "elbow": (15, 10)}
LEG_REST: Mode = {"hip_flex": (0, 4), "hip_abd": (5, 4), "hip_twist": (6, 8), "knee": (5, 5)}
TRUNK_REST: Mode = {
    "lean": (0, 4), "roll": (0, 4), "bend": (2, 5), "side_bend": (0, 5), "turn": (0, 8),
    "head_yaw": (0, 14), "head_pitch": (3, 9), "head_roll": (0, 7),
}  # fmt: skip


@dataclass(frozen=True)
class Build:
    """Proportions of one person; lengths in units of stature, `bulk` multiplies every thickness."""

    head: float
    neck: float
    trunk: float
    shoulder_half_width: float
    hip_half_width: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shank: float
    foot: float
    bulk: float


@dataclass(frozen=True)
class Pose:
    """Angles of one person in degrees: `trunk` once, `arms` and `legs` per side; `mode` is that of the legs."""

    mode: str
    yaw: float
    trunk: dict[str, float]
    arms: dict[str, dict[str, float]]
    legs: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Body:
    """Joint positions (3,) by name, and the orientations (3, 3) of the parts whose surface carries detail."""

    joints: dict[str, Array]
    head: Array
    chest: Array
    pelvis: Array


def sample_build(rng: np.random.Generator) -> Build:
    """Draw proportions around an adult's; one in eight people is a child with a larger head and shorter limbs."""
    child = 1.0 if rng.random() < 0.12 else 0.0
    vary = rng.normal(1.0, 0.045, 11).clip(0.88, 1.12)
    head = (0.148 + 0.045 * child) * vary[0]
    legs = rng.normal(1.0, 0.03) - 0.1 * child
    return Build(
        head=head,
        neck=0.045 * vary[1],
        trunk=0.285 * vary[2],
        shoulder_half_width=0.108 * vary[3] * rng.normal(1.0, 0.05),
        hip_half_width=0.062 * vary[4] * rng.normal(1.0, 0.05),
        upper_arm=(0.170 - 0.02 * child) * vary[5],
        forearm=(0.150 - 0.015 * child) * vary[6],
        hand=0.075 * vary[7],
        thigh=0.245 * vary[8] * legs,
        shank=0.235 * vary[9] * legs,
        foot=0.125 * vary[10],
        bulk=float(np.exp(rng.normal(0.04, 0.16)).clip(0.75, 1.5)),
    )


def sample_pose(rng: np.random.Generator, max_yaw: float) -> Pose:
    """Draw a pose: a mode for the legs, a mode for each arm (mostly the same for both), a view within `max_yaw` degrees of frontal."""
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


def rotation(axis: int, degrees: float) -> Array:
    """Right-handed rotation matrix (3, 3) about axis 0 (x), 1 (y) or 2 (z)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = cos, -sin, sin, cos
    return matrix


def pose_body(build: Build, pose: Pose) -> Body:
    """Forward kinematics: joint positions around the middle of the hips, which is the origin."""
    trunk = pose.trunk
    root = rotation(1, pose.yaw) @ rotation(2, trunk["roll"])
    # The pelvis takes a third of the lean; the legs hang from the root, so leaning does not lift the feet.
    pelvis = root @ rotation(0, trunk["lean"] / 3)
    middle = pelvis @ rotation(0, trunk["lean"] * 2 / 3)
    chest = middle @ rotation(2, trunk["side_bend"]) @ rotation(1, trunk["turn"]) @ rotation(0, trunk["bend"])
    head = chest @ rotation(1, trunk["head_yaw"]) @ rotation(0, trunk["head_pitch"]) @ rotation(2, trunk["head_roll"])
    joints: dict[str, Array] = {"pelvis": np.zeros(3)}
    joints["waist"] = middle @ np.array([0.0, 0.38 * build.trunk, 0.0])
    joints["collar"] = joints["waist"] + chest @ np.array([0.0, 0.62 * build.trunk, 0.0])
    joints["head_base"] = joints["collar"] + chest @ np.array([0.0, build.neck, 0.012])
    joints["head"] = joints["head_base"] + head @ np.array([0.0, 0.46 * build.head, 0.01])
    for side in SIDES:
        _place_arm(joints, build, pose.arms[side], chest, side)
        _place_leg(joints, build, pose.legs[side], pelvis, root, side)
    return Body(joints, head, chest, pelvis)


def _place_arm(joints: dict[str, Array], build: Build, angles: dict[str, float], chest: Array, side: str) -> None:
    sign = 1.0 if side == "left" else -1.0
    # A raised arm lifts its shoulder a little.
    lift = 0.03 * max(0.0, max(angles["shoulder_abd"], angles["shoulder_flex"]) - 60.0) / 100.0
    shoulder = joints["collar"] + chest @ np.array([sign * build.shoulder_half_width, -0.012 + lift, 0.0])
    upper = chest @ rotation(2, sign * angles["shoulder_abd"]) @ rotation(0, -angles["shoulder_flex"])
    upper = upper @ rotation(1, sign * angles["shoulder_twist"])
    lower = upper @ rotation(0, -angles["elbow"])
    down = np.array([0.0, -1.0, 0.0])
    joints[f"{side}_shoulder"] = shoulder
    joints[f"{side}_elbow"] = shoulder + upper @ down * build.upper_arm
    joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + lower @ down * build.forearm
    joints[f"{side}_fingers"] = joints[f"{side}_wrist"] + lower @ down * build.hand


def _place_leg(
    joints: dict[str, Array], build: Build, angles: dict[str, float], pelvis: Array, root: Array, side: str
) -> None:
    sign = 1.0 if side == "left" else -1.0
    hip = pelvis @ np.array([sign * build.hip_half_width, 0.0, 0.0])
    upper = root @ rotation(2, sign * angles["hip_abd"]) @ rotation(0, -angles["hip_flex"])
    upper = upper @ rotation(1, sign * angles["hip_twist"])
    lower = upper @ rotation(0, angles["knee"])
    down = np.array([0.0, -1.0, 0.0])
    joints[f"{side}_hip"] = hip
    joints[f"{side}_knee"] = hip + upper @ down * build.thigh
    joints[f"{side}_ankle"] = joints[f"{side}_knee"] + lower @ down * build.shank
    joints[f"{side}_heel"] = joints[f"{side}_ankle"] + lower @ np.array([0.0, -0.022, -0.025])
    joints[f"{side}_toes"] = joints[f"{side}_ankle"] + lower @ np.array([0.0, -0.026, 0.72 * build.foot])
