"""What can be chosen about a generated data set, and what `difficulty` makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sharpose.runtime.errors import InputError


@dataclass(frozen=True)
class MannequinParameters:
    """Choices that determine every image, next to the seed, the split's name and the image's number.

    `difficulty` in [0, 1] widens the views (0: within 30 degrees of frontal, 1: the full circle), and adds clutter,
    occluders, overlap between people, low contrast, blur and noise. Heights are those of a standing person, in pixels.
    Raises InputError, naming the field, for a value out of range. The class says which version of the generator is
    asked for: this one is version 1, every person before a camera of their own.
    """

    version: ClassVar[int] = 1
    tallest: ClassVar[float] = 400.0

    difficulty: float = 0.1
    min_people: int = 1
    max_people: int = 4
    min_height: float = 90.0
    max_height: float = 230.0
    crowd_probability: float = 0.02
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        for name in ("difficulty", "min_height", "max_height", "crowd_probability"):
            object.__setattr__(self, name, float(getattr(self, name)))  # 0 and 0.0 ask for the same images
        tallest = self.tallest
        rules = {
            "difficulty": (0.0 <= self.difficulty <= 1.0, "[0, 1]"),
            "min_people": (1 <= self.min_people <= 10, "[1, 10]"),
            "max_people": (self.min_people <= self.max_people <= 10, "[min_people, 10]"),
            "min_height": (40.0 <= self.min_height <= tallest, f"[40, {tallest:g}] pixels"),
            "max_height": (self.min_height <= self.max_height <= tallest, f"[min_height, {tallest:g}] pixels"),
            "crowd_probability": (0.0 <= self.crowd_probability <= 1.0, "[0, 1]"),
            "jpeg_quality": (30 <= self.jpeg_quality <= 100, "[30, 100]"),
        }
        for field, (holds, rule) in rules.items():
            if not holds:
                raise InputError(f"mannequin parameters: {field}={getattr(self, field)!r} must be within {rule}")

    @property
    def max_yaw(self) -> float:
        """Return how far, in degrees, a person may be turned away from the camera."""
        return min(180.0, 30.0 + 50.0 * self.difficulty + 115.0 * max(0.0, self.difficulty - 0.3) / 0.7)

    @property
    def max_overlap(self) -> float:
        """Return the largest share of a person's box that another person's box may cover."""
        return 0.05 + 0.6 * self.difficulty

    @property
    def occluder_probability(self) -> float:
        """Return the chance that something stands in front of a person."""
        return 0.3 * self.difficulty**1.5

    @property
    def truncation_probability(self) -> float:
        """Return the chance that a person is cut by the border of the image."""
        return 0.02 + 0.2 * self.difficulty

    @property
    def clutter(self) -> float:
        """Return the expected number of shapes in the background."""
        return 12.0 * self.difficulty

    @property
    def colour_distance(self) -> float:
        """Return the least distance between the background's colour and clothes, in units of 8-bit RGB."""
        return 90.0 * (1.0 - self.difficulty)


@dataclass(frozen=True)
class SceneParameters(MannequinParameters):
    """Choices for version 2: all people before one camera in one room, in every posture and view.

    `difficulty` adds clutter, things in front of people, low contrast, blur and noise; it has no say in views and
    postures. Heights are what a standing person measures at the distances that people are put at.
    """

    version: ClassVar[int] = 2
    tallest: ClassVar[float] = 800.0

    difficulty: float = 0.5
    max_people: int = 5
    min_height: float = 120.0
    max_height: float = 720.0

    @property
    def occluder_probability(self) -> float:
        """Return the chance that something stands in front of a person."""
        return 0.6 * self.difficulty

    @property
    def clutter(self) -> float:
        """Return the expected number of things that stand about."""
        return 3.0 * self.difficulty


PARAMETERS: dict[int, type[MannequinParameters]] = {1: MannequinParameters, 2: SceneParameters}
