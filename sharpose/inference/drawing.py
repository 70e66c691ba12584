"""People drawn into their picture: skeletons, left in orange and right in blue, a label each, and more where asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from sharpose.inference.pose import Person
from sharpose.pose.skeleton import Skeleton
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import write_atomically

DRAWN = ".pose.jpg"
# two colours that everybody tells apart; the middle of the body in a third
LEFT, RIGHT, MIDDLE = (255, 140, 0), (30, 120, 255), (235, 235, 235)
EDGE, PATCH, TEXT = (20, 20, 20), (255, 220, 90), (255, 255, 255)
THRESHOLD = 0.2
SHOW = ("boxes", "patches", "quality")
MAX_SIDE = 65_500
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Style:
    """What is drawn: keypoints scored above `threshold`, and what `show` names of `SHOW`.

    Raises InputError for another name.
    """

    threshold: float = THRESHOLD
    show: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in self.show:
            if name not in SHOW:
                raise InputError(f"--show {name!r} does not work: it must be of {', '.join(SHOW)}")

    def seen(self, person: Person) -> np.ndarray:
        """Return which keypoints are drawn, bool (K,)."""
        return person.scores > self.threshold


PLAIN = Style()


@dataclass
class Canvas:
    """A picture (RGB) that is drawn on, and the places of its labels so far (x, y, width, height)."""

    pixels: UInt8[np.ndarray, "H W 3"]
    unit: int
    labels: list[tuple[int, int, int, int]] = field(default_factory=list)

    def line(self, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int], width: int) -> None:
        """Draw a line with a dark edge, `width` pixels wide without it; points are (x, y) in pixels, colours RGB."""
        cv2.line(self.pixels, start, end, EDGE, width + 2, cv2.LINE_AA)
        cv2.line(self.pixels, start, end, colour, width, cv2.LINE_AA)

    def dot(self, at: tuple[int, int], colour: tuple[int, int, int], radius: int) -> None:
        """Draw a disc with a dark edge, of `radius` pixels without it; `at` is (x, y) in pixels, the colour RGB."""
        cv2.circle(self.pixels, at, radius + 1, EDGE, -1, cv2.LINE_AA)
        cv2.circle(self.pixels, at, radius, colour, -1, cv2.LINE_AA)

    def outline(self, corners: Sequence[np.ndarray], colour: tuple[int, int, int]) -> None:
        """Draw closed lines with a dark edge, which is seen on white too; corners (n, 2) are (x, y) in pixels."""
        lines = [np.round(each).astype(np.int32) for each in corners]
        cv2.polylines(self.pixels, lines, True, EDGE, self.unit + 2)
        cv2.polylines(self.pixels, lines, True, colour, self.unit)

    def label(self, text: str, box: Sequence[float]) -> None:
        """Write text above the box, or at the nearest place inside the picture that no other label has."""
        size, (height, width) = 0.4 * self.unit, self.pixels.shape[:2]
        (wide, high), below = cv2.getTextSize(text, FONT, size, self.unit)
        wide, high = wide + 4 * self.unit, high + below + 2 * self.unit
        x = int(np.clip(box[0], 0, max(0, width - wide)))
        top = int(np.clip(box[1] - high, 0, max(0, height - high)))
        places = [(x, y, wide, high) for y in sorted(range(0, max(1, height - high + 1)), key=lambda y: abs(y - top))]
        place = next((one for one in places if not any(overlap(one, other) for other in self.labels)), places[0])
        self.labels.append(place)
        x, y = place[:2]
        cv2.rectangle(self.pixels, (x, y), (x + wide - 1, y + high - 1), EDGE, -1)
        at = (x + 2 * self.unit, y + high - below - self.unit)
        cv2.putText(self.pixels, text, at, FONT, size, TEXT, self.unit, cv2.LINE_AA)


def overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    """Return whether two rectangles share a pixel."""
    return all(a[i] < b[i] + b[i + 2] and b[i] < a[i] + a[i + 2] for i in (0, 1))


def draw(
    pixels: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], skeleton: Skeleton | None, style: Style = PLAIN
) -> UInt8[np.ndarray, "H W 3"]:
    """Return a copy of the picture (RGB) with everybody's skeleton, and labels above them all."""
    canvas = Canvas(pixels.copy(order="C"), max(1, round(max(pixels.shape[:2]) / 640)))
    for person in people:
        draw_person(canvas, person, skeleton, style)
    for person in people:
        canvas.label(label(person, style), person.box)
    return canvas.pixels


def draw_person(canvas: Canvas, person: Person, skeleton: Skeleton | None, style: Style) -> None:
    """Draw patches, box, limbs and keypoints, as thick as the person is large."""
    width = int(np.clip(max(person.box[2:]) / 120, 1, 8))
    if "patches" in style.show:
        canvas.outline(list(person.patches), PATCH)
    if "boxes" in style.show:
        x, y, w, h = person.box
        canvas.outline([np.array([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])], MIDDLE)
    # far outside of the picture OpenCV's own integers would overflow
    points = [(int(x), int(y)) for x, y in np.clip(person.points, -20_000, 20_000).round()]
    seen, colours = style.seen(person), side_colours(len(points), skeleton)
    for a, b in skeleton.limbs if skeleton else ():
        if seen[a] and seen[b]:
            canvas.line(points[a], points[b], colours[a] if colours[a] == colours[b] else MIDDLE, width)
    for point, colour, visible in zip(points, colours, seen, strict=True):
        if visible:
            canvas.dot(point, colour, width + 1)


def side_colours(number: int, skeleton: Skeleton | None) -> list[tuple[int, int, int]]:
    """Return the colour of every keypoint: that of its side of the body."""
    colours = [MIDDLE] * number
    for a, b in skeleton.flip_pairs if skeleton else ():
        left, right = (a, b) if skeleton and "left" in skeleton.keypoint_names[a] else (b, a)
        colours[left], colours[right] = LEFT, RIGHT
    return colours


def label(person: Person, style: Style = PLAIN) -> str:
    """Return who it is and how sure the model is; that nothing is drawn where it is sure of nothing."""
    parts = [] if person.track is None else [f"#{person.track}"]
    parts.append(f"{person.score:.2f}")
    if "quality" in style.show and person.quality is not None:
        parts.append(f"quality {person.quality:.2f}")
    if "quality" in style.show and person.refined is not None:
        parts.append("refined" if person.refined else "early exit")
    if not style.seen(person).any():
        parts.append(f"no keypoint above {style.threshold:g}")
    return " ".join(parts)


def write_drawing(path: Path, canvas: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write a picture as JPEG, atomically; another one of that name is kept under a number.

    Raises InputError for one that is too large for that.
    """
    if max(canvas.shape[:2]) > MAX_SIDE:
        raise InputError(f"{path}: not drawn, as JPEG has at most {MAX_SIDE:,} pixels a side; shrink the picture")
    encoded = cv2.imencode(".jpg", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1].tobytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(encoded), keep_earlier=True)
