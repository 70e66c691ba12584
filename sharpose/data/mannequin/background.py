"""What stands behind and in front of people, and what the camera does to the picture."""

from __future__ import annotations

import cv2
import numpy as np

from sharpose.data.mannequin.parameters import MannequinParameters

Array = np.ndarray


def draw_background(rng: np.random.Generator, height: int, width: int, parameters: MannequinParameters) -> Array:
    """Draw a wall and a floor with soft unevenness, and shapes as the difficulty asks for: (H, W, 3) RGB uint8."""
    wall = rng.uniform(60, 225) + rng.normal(0, 10 + 15 * parameters.difficulty, 3)
    floor = wall * rng.uniform(0.7, 1.05) + rng.normal(0, 10, 3)
    horizon = int(height * rng.uniform(0.45, 0.85))
    image = np.empty((height, width, 3), np.uint8)
    image[:horizon], image[horizon:] = np.clip(wall, 20, 245), np.clip(floor, 20, 245)
    for _ in range(rng.poisson(parameters.clutter)):
        _draw_shape(rng, image, wall, 15 + 60 * parameters.difficulty)
    uneven = rng.normal(0, 4 + 16 * parameters.difficulty, (5, 6)).astype(np.float32)
    smooth = cv2.resize(uneven, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + smooth[:, :, None], 0, 255).astype(np.uint8)


def _draw_shape(rng: np.random.Generator, image: Array, wall: Array, contrast: float) -> None:
    """Draw an ellipse, box or line on an image (H, W, 3) whose wall has the colour `wall` (3,)."""
    height, width = image.shape[:2]
    colour = np.clip(wall + rng.normal(0, contrast, 3), 5, 250).tolist()
    centre = rng.uniform((0, 0), (width, height)).astype(int).tolist()
    size = np.exp(rng.normal(np.log(0.1 * width), 0.7, 2)).clip(4, width).astype(int).tolist()
    angle = float(rng.choice([0.0, 90.0]) + rng.normal(0, 4))
    kind = rng.integers(3)
    if kind == 0:
        cv2.ellipse(image, centre, size, angle, 0, 360, colour, -1, cv2.LINE_AA)
    elif kind == 1:
        corners = cv2.boxPoints((centre, (2 * size[0], 2 * size[1]), angle))
        cv2.fillConvexPoly(image, np.rint(corners).astype(np.int32), colour, cv2.LINE_AA)
    else:
        end = rng.uniform((0, 0), (width, height)).astype(int).tolist()
        cv2.line(image, centre, end, colour, int(rng.integers(1, 8)), cv2.LINE_AA)


def draw_occluder(rng: np.random.Generator, image: Array, labels: Array, box: Array) -> None:
    """Put a post or a crate in front of the person in `box` (left, top, right, bottom); it is labelled as nobody."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if rng.random() < 0.5:
        x = rng.uniform(left + 0.1 * width, right - 0.1 * width)
        corners = (x - 0.08 * width, top - 0.2 * height, x + 0.08 * width, bottom + 0.1 * height)
    else:
        x, rise = rng.uniform(left, right), rng.uniform(0.15, 0.4) * height
        corners = (x - 0.4 * width, bottom - rise, x + 0.4 * width, bottom + 0.05 * height)
    x0, y0, x1, y1 = (int(value) for value in corners)
    colour = rng.uniform(30, 220, 3)
    cv2.rectangle(labels, (x0, y0), (x1, y1), 0, -1)
    cv2.rectangle(image, (x0, y0), (x1, y1), colour.tolist(), -1)
    cv2.rectangle(image, (x0, y0), (x1, y1), (0.6 * colour).tolist(), 1)


def draw_shadow(image: Array, box: Array) -> None:
    """Draw a soft dark patch on the floor under a person in `box`.

    `image` is (H, W, 3); `box` is left, top, right and bottom, (4,) in pixels.
    """
    left, top, right, bottom = box
    centre = (int((left + right) / 2), int(bottom - 0.01 * (bottom - top)))
    axes = (max(2, int(0.45 * (right - left))), max(2, int(0.035 * (bottom - top))))
    x0, y0 = max(0, centre[0] - axes[0] - 1), max(0, centre[1] - axes[1] - 1)
    patch = image[y0 : centre[1] + axes[1] + 2, x0 : centre[0] + axes[0] + 2]
    if patch.size:
        shade = patch.copy()
        cv2.ellipse(shade, (centre[0] - x0, centre[1] - y0), axes, 0, 0, 360, (30, 30, 30), -1, cv2.LINE_AA)
        cv2.addWeighted(shade, 0.35, patch, 0.65, 0, patch)


def photograph(rng: np.random.Generator, image: Array, parameters: MannequinParameters) -> Array:
    """Apply exposure, blur and noise of a camera, growing with the difficulty. `image` is uint8 (H, W, 3)."""
    difficulty = parameters.difficulty
    gain, lift = 1.0 - 0.45 * difficulty * rng.random(), 30.0 * difficulty * rng.random()
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)) if rng.random() < 0.5 * difficulty else image
    noise = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape).astype(np.int16) - 128
    strength = rng.uniform(0, 1) * (2 + 18 * difficulty) / 74.0  # 74 is the deviation of a uniform byte
    mixed = cv2.addWeighted(blurred.astype(np.float32), gain, noise.astype(np.float32), strength, lift)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
