"""Drawing for version 2: rounded shading, textured clothes, cast shadows, and everything in one order of depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from sharpose.data.mannequin.figure import LABELS_PER_PERSON, PROP, Colour, Part
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.render import Canvas, Lens, Viewpoint, hull_of_discs
from sharpose.data.mannequin.textures import SIDE

Array = np.ndarray
_SHIFT = 4
_ONE = 1 << _SHIFT
TILE_IN_STATURES = 0.3
Cloths = dict[Colour, list[Array]]


@dataclass(frozen=True)
class Actor:
    """Parts to be drawn for person `number` (0: things, labelled as nobody's).

    `cloths`: the tiles, with their halves, of the parts that have a colour.
    """

    number: int
    parts: list[Part]
    camera: Viewpoint
    cloths: Cloths = field(default_factory=dict)


def draw_actors(canvas: Canvas, actors: Sequence[Actor], light: float) -> None:
    """Draw the parts of all actors, the farthest first, so that people and things cover each other limb by limb."""
    jobs: list[tuple[float, Actor, Part, Array, Array, float]] = []
    for actor in actors:
        counts = [len(part.balls) for part in actor.parts]
        balls = np.concatenate([part.balls for part in actor.parts])
        pixels, scale = actor.camera.project(balls[:, :3])
        radii, ends = balls[:, 3] * scale, np.cumsum(counts)
        centres = actor.camera.view(np.array([part.centre for part in actor.parts]))[:, 2]
        for part, depth, end, count in zip(actor.parts, centres, ends, counts, strict=True):
            where = slice(end - count, end)
            place = float(depth + part.bias * actor.camera.stature)
            jobs.append((place, actor, part, pixels[where], radii[where], float(scale[where].mean())))
    for _, actor, part, places, reaches, size in sorted(jobs, key=lambda job: job[0]):
        _draw(canvas, actor, part, places, reaches, size, light)


def _draw(canvas: Canvas, actor: Actor, part: Part, pixels: Array, radii: Array, scale: float, light: float) -> None:
    """Draw a part as the hull of discs, centres `pixels` (n, 2) and `radii` (n,), both in pixels."""
    height, width = canvas.labels.shape
    low = np.maximum(np.floor((pixels - radii[:, None]).min(axis=0)) - 1, 0).astype(int)
    high = np.minimum(np.ceil((pixels + radii[:, None]).max(axis=0)) + 2, (width, height)).astype(int)
    if (high <= low).any():
        return
    hull = hull_of_discs(pixels, radii)
    label = actor.number * LABELS_PER_PERSON + part.label if part.label != PROP else 0
    cv2.fillConvexPoly(canvas.labels, hull, label, cv2.LINE_8, _SHIFT)
    wide, tall = (high - low).tolist()
    image = canvas.image[low[1] : high[1], low[0] : high[0]]
    if not part.shaded or max(wide, tall) < 6:
        cv2.fillConvexPoly(canvas.image, hull, part.colour, cv2.LINE_AA, _SHIFT)
        return
    origin = low * _ONE
    mask = np.zeros((tall, wide), np.uint8)
    cv2.fillConvexPoly(mask, (hull.reshape(-1, 2) - origin).astype(np.int32), 255, cv2.LINE_AA, _SHIFT)
    shade = np.full((tall, wide), 140, np.uint8)
    inner = pixels - low + np.stack([0.3 * light * radii, -0.2 * radii], axis=1)
    cv2.fillConvexPoly(shade, hull_of_discs(inner, 0.6 * radii), 255, cv2.LINE_AA, _SHIFT)
    reach = int(min(1.1 * radii.max(), 25)) | 1
    if reach > 1:
        shade = cv2.blur(shade, (reach, reach), borderType=cv2.BORDER_REPLICATE)
    surface = _surface(actor, part, pixels - low, scale, (wide, tall))
    surface = cv2.multiply(surface, cv2.cvtColor(shade, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    weight = mask.astype(np.float32) * np.float32(1 / 255)
    image[:] = cv2.blendLinear(surface, np.ascontiguousarray(image), weight, 1 - weight)


def _surface(actor: Actor, part: Part, pixels: Array, scale: float, size: tuple[int, int]) -> Array:
    """Return the unshaded colours (H, W, 3) of a part; a pattern lies along the line from first ball to last."""
    levels = actor.cloths.get(part.colour)
    if levels is None:
        return np.full((size[1], size[0], 3), part.colour, np.uint8)
    zoom = TILE_IN_STATURES * scale / SIDE
    level = int(np.clip(np.log2(1 / max(zoom, 1e-3)), 0, len(levels) - 1))
    zoom *= 2.0**level
    x, y = pixels[-1] - pixels[0]
    length = max(float(np.hypot(x, y)), 1e-6)
    # along the limb: down in the tile
    along = np.array([[y, x], [-x, y]]) / length * zoom
    matrix = np.concatenate([along, pixels[:1].T], axis=1)
    return cv2.warpAffine(levels[level], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def draw_shadows(image: Array, actors: Sequence[Actor], lens: Lens, light: float, strength: float) -> None:
    """Darken the floor where actors stand between it and the light; the softer, the weaker.

    `image` is uint8 (H, W, 3).
    """
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    ring = np.array([[1, 0], [0.7, 0.7], [0, 1], [-0.7, 0.7], [-1, 0], [-0.7, -0.7], [0, -1], [0.7, -0.7]])
    for actor in actors:
        balls = np.concatenate([part.balls for part in actor.parts])
        room = actor.camera.in_room(balls[:, :3])
        ground = room[:, [0, 2]] + room[:, 1:2] * np.array([-0.7 * light, -0.25])
        rims = ground[:, None] + (balls[:, 3] * actor.camera.stature)[:, None, None] * ring
        floor = np.stack([rims[..., 0], np.zeros(rims.shape[:2]), rims[..., 1]], axis=-1)
        seen = lens.look(floor.reshape(-1, 3))[:, 2].reshape(rims.shape[:2]) < -0.2
        pixels = lens.project(floor.reshape(-1, 3))[0].reshape(*rims.shape)
        start = 0
        for part in actor.parts:
            where = slice(start, start + len(part.balls))
            start += len(part.balls)
            if seen[where].all():
                hull = cv2.convexHull(np.rint(pixels[where].reshape(-1, 2) * _ONE).astype(np.int32))
                cv2.fillConvexPoly(mask, hull, 255, cv2.LINE_AA, _SHIFT)
    soft = cv2.blur(mask, (5, 5) if strength > 0.4 else (15, 15))
    keep = cv2.convertScaleAbs(soft, alpha=-strength, beta=0) if strength > 0 else soft
    cv2.multiply(image, cv2.cvtColor(255 - keep, cv2.COLOR_GRAY2RGB), image, scale=1 / 255)


def photograph(rng: np.random.Generator, image: Array, parameters: MannequinParameters) -> Array:
    """Apply light that falls off, a tint, exposure, blur of focus or motion, and a sensor's noise.

    `image` is uint8 (H, W, 3).
    """
    difficulty, (height, width) = parameters.difficulty, image.shape[:2]
    field_of_light = rng.normal(1.0, 0.1 + 0.2 * difficulty, (3, 3)).clip(0.4, 1.5).astype(np.float32)
    glow = cv2.resize((160 * field_of_light).clip(0, 255).astype(np.uint8), (width, height))
    lit = cv2.multiply(image, cv2.cvtColor(glow, cv2.COLOR_GRAY2RGB), scale=1 / 160)
    gains = rng.uniform(0.75, 1.15) * rng.normal(1.0, 0.06, 3) * (1 - 0.5 * difficulty * (rng.random() < 0.15))
    gamma, lift = np.exp(rng.normal(0, 0.2)), 40 * difficulty * rng.random()
    ramp = (np.arange(256) / 255.0) ** gamma * 255
    curves = np.clip(ramp[:, None] * gains * (1 - lift / 255) + lift, 0, 255).astype(np.uint8)
    exposed = cv2.LUT(lit, curves[None])
    kind = rng.random()
    if kind < 0.35 * difficulty:
        kernel, steps = np.zeros((9, 9), np.float32), int(rng.integers(2, 5))
        angle = rng.uniform(0, np.pi)
        end = (np.array([np.cos(angle), np.sin(angle)]) * steps).round().astype(int)
        cv2.line(kernel, (4 - end[0], 4 - end[1]), (4 + end[0], 4 + end[1]), 1.0)
        exposed = cv2.filter2D(exposed, -1, kernel / kernel.sum())
    elif kind < 1.2 * difficulty:
        exposed = cv2.GaussianBlur(exposed, (0, 0), rng.uniform(0.4, 1.5))
    noise = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    strength = rng.uniform(0, 1) ** 2 * (4 + 24 * difficulty) / 74.0  # 74 is the deviation of a uniform byte
    return cv2.addWeighted(exposed, 1.0, noise, strength, -127.5 * strength)
