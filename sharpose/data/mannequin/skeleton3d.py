"""A person as a skeleton in three dimensions: proportions and forward kinematics.

Axes of a body: x to the person's own left, y up, z forward. A person facing the camera therefore shows their left on
the image's right. Angles are in degrees, lengths in units of the person's stature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sharpose.data.mannequin.poses import SIDES, Pose

Array = np.ndarray


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


def rotation(axis: int, degrees: float) -> Array:
    """Return the right-handed rotation matrix (3, 3) about axis 0 (x), 1 (y) or 2 (z)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = cos, -sin, sin, cos
    return matrix


def pose_body(build: Build, pose: Pose) -> Body:
    """Return joint positions by forward kinematics, around the middle of the hips, which is the origin."""
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
    """Add an arm's joints (3,) in metres, turned by `chest` (3, 3); `angles` are in degrees."""
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
    """Add a leg's joints (3,) in metres, turned by `root` (3, 3), from the `pelvis` (3, 3)."""
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
