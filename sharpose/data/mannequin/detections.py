"""A person detector's output, simulated: true boxes jittered, missed, doubled, and boxes where nobody is."""

from __future__ import annotations

from typing import Any

import numpy as np

MISSED, DOUBLED, FALSE_PER_IMAGE = 0.05, 0.08, 0.2


def simulate_detections(
    rng: np.random.Generator, annotations: list[dict[str, Any]], size: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return detections {bbox, score} of an image of `size` (height, width); a box further off tends to score lower."""
    found: list[dict[str, Any]] = []
    for annotation in annotations:
        if rng.random() < MISSED:
            continue
        # Most boxes are good (a deviation of 3 % of the sides), a few are loose.
        found.append(_jittered(rng, annotation["bbox"], size, float(rng.gamma(2.0, 0.016)), 1.0))
        if rng.random() < DOUBLED:
            found.append(_jittered(rng, annotation["bbox"], size, float(rng.uniform(0.08, 0.16)), 0.55))
    height, width = size
    for _ in range(rng.poisson(FALSE_PER_IMAGE)):
        tall = rng.uniform(0.15, 0.6) * height
        wide = min(tall * rng.uniform(0.3, 1.0), 0.9 * width)
        corner = rng.uniform(0, width - wide), rng.uniform(0, height - tall)
        found.append(_detection([*corner, wide, tall], float(rng.beta(1.5, 6.0))))
    return found


def _jittered(
    rng: np.random.Generator, bbox_xywh: list[float], size: tuple[int, int], deviation: float, confidence: float
) -> dict[str, Any]:
    x, y, width, height = bbox_xywh
    moves = rng.standard_normal(4).clip(-2.5, 2.5) * deviation * np.array([width, height, width, height])
    left, top = max(0.0, x + moves[0]), max(0.0, y + moves[1])
    right, bottom = min(float(size[1]), x + width + moves[2]), min(float(size[0]), y + height + moves[3])
    score = confidence * (0.99 - 2.2 * deviation - abs(rng.normal(0, 0.04)))
    return _detection([left, top, max(1.0, right - left), max(1.0, bottom - top)], score)


def _detection(bbox_xywh: list[float], score: float) -> dict[str, Any]:
    return {
        "bbox": [round(float(value), 2) for value in bbox_xywh],
        "score": round(float(np.clip(score, 0.01, 0.999)), 4),
    }
