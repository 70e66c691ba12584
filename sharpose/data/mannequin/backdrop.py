"""What is behind the people of version 2: a textured floor, and a wall with things on it or a skyline."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from sharpose.data.mannequin import things
from sharpose.data.mannequin.figure import Colour
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.poses import choose
from sharpose.data.mannequin.render import Lens
from sharpose.data.mannequin.textures import FLOORS, SIDE, WALLS, smaller, tile

Array = np.ndarray


def draw_backdrop(
    rng: np.random.Generator,
    image: Array,
    lens: Lens,
    distance: float,
    outdoors: bool,
    wall_colour: Colour,
    parameters: MannequinParameters,
) -> None:
    """Draw a textured floor, and a wall at `distance` metres; outdoors the wall ends and there is sky above it.

    `image` is uint8 (H, W, 3).
    """
    yaw = np.radians(rng.uniform(-20, 20)) if rng.random() < 0.5 else 0.0
    right, down = np.array([np.cos(yaw), 0.0, np.sin(yaw)]), np.array([0.0, -1.0, 0.0])
    # far enough that the turned wall stays behind everybody whom the picture shows
    foot = np.array([0.0, 0.0, -distance * (1 + abs(np.tan(yaw)) * 0.6)])
    sky = np.clip(rng.normal((170, 190, 215), 25), 60, 255)
    image[:] = np.clip(sky + np.linspace(25, -25, len(image))[:, None, None], 0, 255)
    wall_span = rng.uniform(4, 9) if outdoors else rng.uniform(0.6, 3.0)
    top = rng.uniform(2.0, 9.0) if outdoors else 30.0
    wall = _surface(rng, WALLS, np.array(wall_colour), parameters)
    ridge = foot - top * down
    _lay(image, lens, wall, wall_span, ridge, right, down, _side(lens, image, ridge, right))
    for _ in range(rng.poisson(3 + 3 * parameters.clutter)):
        _hang(rng, image, lens, foot, right, distance, top)
    ground = np.clip(rng.normal((120, 112, 98), 38) + rng.normal(0, 14), 15, 240)
    floor = _surface(rng, FLOORS, ground, parameters)
    _lay(image, lens, floor, float(rng.uniform(0.8, 3.5)), np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]),
         _side(lens, image, foot, right))  # fmt: skip


def _surface(
    rng: np.random.Generator, kinds: Mapping[str, float], colour: Array, parameters: MannequinParameters
) -> list[Array]:
    """Return the tile of a wall or floor, with its halves. `colour` is RGB (3,)."""
    difficulty = parameters.difficulty
    other = np.clip(colour * np.exp(rng.normal(0, 0.15 + 0.5 * difficulty)) + rng.normal(0, 12, 3), 5, 250)
    return smaller(tile(rng, choose(rng, kinds), colour, other, rng.uniform(2, 6 + 20 * difficulty)))


def _lay(
    image: Array, lens: Lens, levels: list[Array], span: float, origin: Array, right: Array, down: Array, where: Array
) -> None:
    """Cover `where` (H, W) with tiles of `span` metres on the plane through `origin` along `right` and `down`."""
    away = max(2.0, float(np.linalg.norm(origin - lens.position)))
    level = int(np.clip(np.log2(SIDE * away / (span * lens.focal)), 0, len(levels) - 1))
    side = SIDE >> level
    matrix = lens.plane(origin, right, down) @ np.diag([span / side, span / side, 1.0])
    size = (image.shape[1], image.shape[0])
    laid = cv2.warpPerspective(levels[level], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    cv2.copyTo(laid, where, image)


def _side(lens: Lens, image: Array, foot: Array, right: Array) -> Array:
    """Return the mask (H, W) uint8 of the pixels below a level line in the room, through `foot` along `right`."""
    ends, _ = lens.project(np.stack([foot - right, foot + right]))
    slope = (ends[1, 1] - ends[0, 1]) / (ends[1, 0] - ends[0, 0])
    line = ends[0, 1] + slope * (np.arange(image.shape[1]) - ends[0, 0])
    return (np.arange(image.shape[0])[:, None] > line).astype(np.uint8)


def _hang(
    rng: np.random.Generator, image: Array, lens: Lens, foot: Array, right: Array, distance: float, top: float
) -> None:
    """Hang a picture, window, door or sign on a wall that ends at `top`; the larger, the farther away the wall is.

    `image` is uint8 (H, W, 3); `foot` and `right` are (3,) in metres.
    """
    size = max(1.0, distance / 7)
    half = 0.5 * image.shape[1] * distance / lens.focal
    x, y = rng.uniform(-half, half), rng.uniform(0.2, 2.6) * size
    wide, tall = np.exp(rng.normal(-0.4, 0.6, 2)) * size
    if y + tall / 2 > top:
        return
    corners = [foot + (x + sx * wide / 2) * right + np.array([0, y + sy * tall / 2, 0]) for sx, sy in
               ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
    points, _ = lens.project(np.array(corners))
    colour = things.colour_of(rng)
    fixed = np.rint(points.clip(-4000, 4000) * 16).astype(np.int32)
    cv2.fillConvexPoly(image, fixed, colour, cv2.LINE_AA, 4)
    if rng.random() < 0.6:
        cv2.polylines(image, [fixed], True, things.shaded(colour, 0.5), int(rng.integers(1, 3)), cv2.LINE_AA, 4)
