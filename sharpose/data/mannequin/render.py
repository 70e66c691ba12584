"""Projection and drawing: hulls of balls, far to near, and a label image that says whose part each pixel is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sharpose.data.mannequin.figure import LABELS_PER_PERSON, PROP, Part
from sharpose.data.mannequin.skeleton3d import rotation

Array = np.ndarray
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_SHIFT = 4  # cv2 draws with this many fractional bits


@dataclass(frozen=True)
class Camera:
    """A perspective camera at `distance` statures, looking down by `elevation` degrees; `scale`: pixels per stature."""

    scale: float
    distance: float
    elevation: float
    offset: tuple[float, float] = (0.0, 0.0)

    def view(self, points: Array) -> Array:
        """Turn body coordinates (N, 3) into camera coordinates: x right, y up, z towards the viewer."""
        return points @ rotation(0, self.elevation).T

    def faces(self, points: Array, normals: Array) -> Array:
        """Return whether surfaces at points (N, 3) with these outward normals (N, 3) are turned to the viewer (N,)."""
        return self.view(normals)[:, 2] > 0.0

    def project(self, points: Array) -> tuple[Array, Array]:
        """Turn body coordinates (N, 3) into pixels (N, 2), and the pixels that one stature spans at each point (N,)."""
        seen = self.view(points)
        scale = self.scale * self.distance / (self.distance - seen[:, 2])
        pixels = np.stack([seen[:, 0] * scale, -seen[:, 1] * scale], axis=1)
        return pixels + np.array(self.offset), scale


@dataclass(frozen=True)
class Lens:
    """The one camera of a room.

    `focal` in pixels, `centre` of the picture in pixels, `turned` (3, 3) from the room's axes (x right, y up, z towards
    the viewer) to its own, `position` (3,) in metres above the middle of the floor.
    """

    focal: float
    centre: tuple[float, float]
    turned: Array
    position: Array

    def look(self, points: Array) -> Array:
        """Turn points of the room (N, 3), in metres, into camera coordinates: what is in front has a negative z."""
        return (points - self.position) @ self.turned.T

    def project(self, points: Array) -> tuple[Array, Array]:
        """Turn points of the room (N, 3) into pixels (N, 2), and the pixels that one metre spans at each point (N,)."""
        seen = self.look(points)
        scale = self.focal / -seen[:, 2]
        return np.stack([seen[:, 0] * scale, -seen[:, 1] * scale], axis=1) + np.array(self.centre), scale

    def plane(self, origin: Array, right: Array, up: Array) -> Array:
        """Return the homography (3, 3) from metres along `right` and `up` from `origin` to pixels."""
        intrinsic = np.array([[self.focal, 0, -self.centre[0]], [0, -self.focal, -self.centre[1]], [0, 0, -1.0]])
        return intrinsic @ self.turned @ np.stack([right, up, origin - self.position], axis=1)


@dataclass(frozen=True)
class Viewpoint:
    """What `Camera` is to a person of version 2: the room's lens, and how the body is turned, placed and how tall."""

    lens: Lens
    turned: Array
    position: Array
    stature: float

    def in_room(self, points: Array) -> Array:
        """Turn body coordinates (N, 3) into the room's metres."""
        return points @ self.turned.T * self.stature + self.position

    def view(self, points: Array) -> Array:
        """Turn body coordinates (N, 3) into camera coordinates in metres: x right, y up, z towards the viewer."""
        return self.lens.look(self.in_room(points))

    def faces(self, points: Array, normals: Array) -> Array:
        """Return whether surfaces at points (N, 3) with these outward normals (N, 3) are turned to the viewer (N,)."""
        to_viewer = self.lens.position - self.in_room(points)
        return np.einsum("ij,ij->i", normals @ self.turned.T, to_viewer) > 0.0

    def project(self, points: Array) -> tuple[Array, Array]:
        """Turn body coordinates (N, 3) into pixels (N, 2), and the pixels that one stature spans at each point (N,)."""
        pixels, scale = self.lens.project(self.in_room(points))
        return pixels, scale * self.stature


@dataclass(frozen=True)
class Canvas:
    """An image (H, W, 3) RGB uint8 and its label image (H, W) int32: person * 32 + part, 0 where nobody is."""

    image: Array
    labels: Array


def extent(parts: list[Part], camera: Camera | Viewpoint) -> Array:
    """Return left, top, right, bottom, (4,), in pixels of everything that belongs to the person."""
    balls = np.concatenate([part.balls for part in parts if part.label != PROP])
    pixels, scale = camera.project(balls[:, :3])
    radius = (balls[:, 3] * scale)[:, None]
    return np.concatenate([(pixels - radius).min(axis=0), (pixels + radius).max(axis=0)])


def draw_person(canvas: Canvas, parts: list[Part], camera: Camera | Viewpoint, person: int, light: float) -> None:
    """Draw the parts far to near; `person` counts from 1, `light` in [-1, 1] says from which side light comes."""
    depths = camera.view(np.array([part.centre for part in parts]))[:, 2] + [part.bias for part in parts]
    for index in np.argsort(depths, kind="stable"):
        _draw_part(canvas, parts[index], camera, person, light)


def _draw_part(canvas: Canvas, part: Part, camera: Camera | Viewpoint, person: int, light: float) -> None:
    pixels, scale = camera.project(part.balls[:, :3])
    radii = part.balls[:, 3] * scale
    hull = hull_of_discs(pixels, radii)
    label = person * LABELS_PER_PERSON + part.label if part.label != PROP else 0
    cv2.fillConvexPoly(canvas.labels, hull, label, cv2.LINE_8, _SHIFT)
    base = np.array(part.colour)
    if not part.shaded:
        cv2.fillConvexPoly(canvas.image, hull, base.tolist(), cv2.LINE_AA, _SHIFT)
        return
    cv2.fillConvexPoly(canvas.image, hull, (0.78 * base).tolist(), cv2.LINE_AA, _SHIFT)
    lit = hull_of_discs(pixels + np.stack([0.25 * light * radii, -0.15 * radii], axis=1), 0.7 * radii)
    cv2.fillConvexPoly(canvas.image, lit, base.tolist(), cv2.LINE_AA, _SHIFT)
    if radii.max() > 2.0:
        cv2.polylines(canvas.image, [hull], True, (0.5 * base).tolist(), 1, cv2.LINE_AA, _SHIFT)


def hull_of_discs(centres: Array, radii: Array) -> Array:
    """Return the convex hull (N, 1, 2) int32, in 1/16 pixels, of discs at `centres` (M, 2) with `radii` (M,)."""
    points = centres[:, None, :] + radii[:, None, None] * _CIRCLE
    fixed = np.rint(points.reshape(-1, 2) * (1 << _SHIFT)).astype(np.int32)
    return fixed if len(centres) == 1 else cv2.convexHull(fixed)
