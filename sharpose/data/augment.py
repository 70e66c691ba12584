"""Random changes of a crop while training: where it lies, and what covers or tints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Occluder:
    """A rectangle of the crop that is covered with another part of it.

    Fractions (x, y, width, height) of the crop, and the fractions (x, y) by which the part lies elsewhere (wrapping
    around).
    """

    box: tuple[float, float, float, float]
    offset: tuple[float, float]


@dataclass(frozen=True)
class Draw:
    """One outcome of an `Augmentation`. shift: fractions (x, y); rotation in degrees; gains: factors of R, G and B."""

    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False
    half_body: bool = False
    prefer_upper: bool = False
    scale: float = 1.0
    rotation: float = 0.0
    gains: tuple[float, float, float] | None = None
    occluder: Occluder | None = None


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and strengths; the defaults are SHaRPose's recipe (release, on top of mmpose 0.29).

    shift: largest move of the centre as a fraction of `shift_of`: the padded, aspect-corrected "crop" (SHaRPose) or the
    annotated "box" (ViTPose: shift .2). scale: standard deviation and limit of the factor around 1. rotation: standard
    deviation in degrees, limited to twice that. half_body: for people with over `half_body_above` visible keypoints.
    color: standard deviation of the logarithm of the brightness, and half of it of each colour's. occluder_side: the
    longest side of an occluder, as a fraction of the crop's.
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
    color: float = 0.0
    occluder_probability: float = 0.0
    occluder_side: float = 0.4

    def draw(self, rng: np.random.Generator) -> Draw:
        """Return one outcome; the same number of random values is consumed whatever happens."""
        shift, flip, half_body, rotate = rng.random(4)
        shift_x, shift_y = rng.uniform(-self.shift, self.shift, 2)
        scale, rotation, half = rng.standard_normal(3)
        shifted = shift < self.shift_probability
        # drawn last, so that what came before is as it was without them
        tints, cover = rng.standard_normal(4), rng.random(7)
        return Draw(
            shift=(float(shift_x), float(shift_y)) if shifted else (0.0, 0.0),
            flip=bool(flip < self.flip_probability),
            half_body=bool(half_body < self.half_body_probability),
            # a normal draw below one half, as in the reference: the upper body is preferred in 69 % of the cases
            prefer_upper=bool(half < 0.5),
            scale=1 + float(np.clip(scale * self.scale, -self.scale, self.scale)),
            rotation=float(np.clip(rotation, -2, 2)) * self.rotation if rotate < self.rotation_probability else 0.0,
            gains=self._gains(tints) if self.color else None,
            occluder=self._occluder(cover[1:]) if cover[0] < self.occluder_probability else None,
        )

    def _gains(self, tints: np.ndarray) -> tuple[float, float, float]:
        """Return the gains of red, green and blue from normal draws (4,): one for all, and one for each."""
        red, green, blue = np.exp(self.color * (tints[0] + tints[1:] / 2))
        return float(red), float(green), float(blue)

    def _occluder(self, uniform: np.ndarray) -> Occluder:
        """Return the occluder of uniform draws (6,) in [0, 1)."""
        x, y, width, height, dx, dy = (float(value) for value in uniform)
        # a corner may lie outside of the crop, so that its border is covered as often as its middle
        sides = (0.1 + width * (self.occluder_side - 0.1), 0.1 + height * (self.occluder_side - 0.1))
        return Occluder((x - sides[0] / 2, y - sides[1] / 2, *sides), (dx, dy))


def change_pixels(pixels: UInt8[np.ndarray, "H W 3"], draw: Draw) -> UInt8[np.ndarray, "H W 3"]:
    """Return the crop tinted and partly covered as drawn; keypoints under the cover stay labelled, as in COCO."""
    if draw.occluder is not None:
        height, width = pixels.shape[:2]
        x, y, across, down = draw.occluder.box
        rows = slice(round(max(0.0, y) * height), round(min(1.0, y + down) * height))
        columns = slice(round(max(0.0, x) * width), round(min(1.0, x + across) * width))
        shift = (round(draw.occluder.offset[1] * height), round(draw.occluder.offset[0] * width))
        elsewhere = np.roll(pixels, shift, axis=(0, 1))
        pixels = pixels.copy()
        pixels[rows, columns] = elsewhere[rows, columns]
    if draw.gains is not None:
        pixels = np.clip(pixels * np.array(draw.gains, dtype=np.float32) + 0.5, 0, 255).astype(np.uint8)
    return pixels
