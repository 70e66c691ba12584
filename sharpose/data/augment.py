"""Random changes of a crop while training. All of them move the crop, none touches pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Draw:
    """One outcome of an `Augmentation`. shift: fractions (x, y); rotation in degrees."""

    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False
    half_body: bool = False
    prefer_upper: bool = False
    scale: float = 1.0
    rotation: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and strengths; the defaults are SHaRPose's recipe (release, on top of mmpose 0.29).

    shift: largest move of the centre as a fraction of `shift_of`: the padded, aspect-corrected "crop" (SHaRPose) or the
    annotated "box" (ViTPose: shift .2). scale: standard deviation and limit of the factor around 1. rotation: standard
    deviation in degrees, limited to twice that. half_body: for people with over `half_body_above` visible keypoints.
    """

    shift: float = 0.16
    shift_probability: float = 0.3
    shift_of: Literal["crop", "box"] = "crop"
    flip_probability: float = 0.5
    half_body_probability: float = 0.3
    half_body_above: int = 8
    scale: float = 0.5
    rotation: float = 40.0
    rotation_probability: float = 0.6

    def draw(self, rng: np.random.Generator) -> Draw:
        """One outcome; the same number of random values is consumed whatever happens."""
        shift, flip, half_body, rotate = rng.random(4)
        shift_x, shift_y = rng.uniform(-self.shift, self.shift, 2)
        scale, rotation, half = rng.standard_normal(3)
        shifted = shift < self.shift_probability
        return Draw(
            shift=(float(shift_x), float(shift_y)) if shifted else (0.0, 0.0),
            flip=bool(flip < self.flip_probability),
            half_body=bool(half_body < self.half_body_probability),
            # a normal draw below one half, as in the reference: the upper body is preferred in 69 % of the cases
            prefer_upper=bool(half < 0.5),
            scale=1 + float(np.clip(scale * self.scale, -self.scale, self.scale)),
            rotation=float(np.clip(rotation, -2, 2)) * self.rotation if rotate < self.rotation_probability else 0.0,
        )
