"""People drawn into their picture: selected patches, skeleton, quality, and whether the coarse look was enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sharpose.data.skeleton import Skeleton
from sharpose.files import write_atomically

DRAWN = ".pose.jpg"
LIMB, JOINT, PATCH, TEXT = (80, 200, 60), (40, 40, 230), (255, 190, 60), (255, 255, 255)


@dataclass(frozen=True)
class Person:
    """One result. Box and keypoints (x, y, score) in picture pixels; patches: corners of the selected ones."""

    bbox_xywh: list[float]
    keypoints: Float[np.ndarray, "K 3"]
    score: float
    quality: float | None
    refined: bool | None
    patches: Float[np.ndarray, "n 4 2"]


def draw(pixels: UInt8[np.ndarray, "H W 3"], people: Sequence[Person], skeleton: Skeleton | None) -> np.ndarray:
    """The picture (RGB) with selected patches, skeletons and a line of text per person."""
    canvas = pixels.copy(order="C")
    unit = max(1, round(max(canvas.shape[:2]) / 400))
    for person in people:
        cv2.polylines(canvas, list(person.patches.round().astype(np.int32)), True, PATCH, unit)
        points = [(int(x), int(y)) for x, y in person.keypoints[:, :2].round()]
        seen = person.keypoints[:, 2] > 0.2
        for a, b in skeleton.limbs if skeleton else ():
            if seen[a] and seen[b]:
                cv2.line(canvas, points[a], points[b], LIMB, 2 * unit, cv2.LINE_AA)
        for point, visible in zip(points, seen, strict=True):
            if visible:
                cv2.circle(canvas, point, 2 * unit, JOINT, -1, cv2.LINE_AA)
        write_text(canvas, label(person), person.bbox_xywh, unit)
    return canvas


def label(person: Person) -> str:
    """Quality and whether the coarse look was enough."""
    parts = [] if person.quality is None else [f"quality {person.quality:.2f}"]
    if person.refined is not None:
        parts.append("refined" if person.refined else "early exit")
    return ", ".join(parts) or f"score {person.score:.2f}"


def write_text(canvas: np.ndarray, text: str, box: list[float], unit: int) -> None:
    """Text in the box's upper corner, on a dark ground, inside the picture."""
    size = 0.4 * unit
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, unit)
    x = int(np.clip(box[0], 0, max(0, canvas.shape[1] - width)))
    y = int(np.clip(box[1], 0, max(0, canvas.shape[0] - 2 * height))) + height + unit
    cv2.rectangle(canvas, (x, y - height - unit), (x + width, y + unit), (30, 30, 30), -1)
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, TEXT, unit, cv2.LINE_AA)


def drawing_name(picture: Path, used: set[str]) -> str:
    """`STEM.pose.jpg`, numbered where another folder's picture has the same name."""
    name, number = f"{picture.stem}{DRAWN}", 2
    while name in used:
        name, number = f"{picture.stem}-{number}{DRAWN}", number + 1
    used.add(name)
    return name


def write_drawing(path: Path, canvas: np.ndarray) -> None:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1].tobytes()
    write_atomically(path, lambda temporary: temporary.write_bytes(encoded))
