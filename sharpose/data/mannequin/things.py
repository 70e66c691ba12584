"""What people of version 2 sit and lie on, carry, and stand behind; all of it is labelled as nobody's."""

from __future__ import annotations

import numpy as np

from sharpose.data.mannequin.figure import PROP, Colour, Part, balls_of
from sharpose.data.mannequin.poses import SIDES
from sharpose.data.mannequin.skeleton3d import Body, Build, rotation

Array = np.ndarray
# things that stand on the floor, and how often each is taken
KINDS = {"crate": 20, "table": 20, "counter": 20, "post": 18, "plant": 16, "panel": 10}


def colour_of(rng: np.random.Generator) -> Colour:
    """Return any colour, wood and grey more often than loud ones."""
    grey = rng.uniform(30, 225)
    return _colour(grey + rng.normal(0, rng.choice([8, 25, 60]), 3))


def _colour(rgb: Array) -> Colour:
    """Return a colour (3,), its channels cut to 5 to 250, as a tuple."""
    red, green, blue = np.clip(rgb, 5, 250).tolist()
    return red, green, blue


def shaded(colour: Colour, factor: float) -> Colour:
    """Return the colour in more or less light."""
    return _colour(np.array(colour) * factor)


def slab(
    centre: Array, size: Array, turned: Array, colour: Colour, bias: float = 0.0, cell: float = 0.45
) -> list[Part]:
    """Return a box of `size` (3,) around `centre` (3,): faces in cells no longer than `cell`, each at its own depth.

    `turned` is (3, 3).
    """
    parts = []
    half = size / 2
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        counts = [max(1, int(np.ceil(size[side] / cell))) for side in (u, v)]
        for sign in (-1.0, 1.0):
            lit = 1.12 if axis == 1 and sign > 0 else (0.62, 0.4, 0.85)[axis] + 0.06 * sign
            for i in range(counts[0]):
                for j in range(counts[1]):
                    corners = np.zeros((4, 3))
                    corners[:, axis] = sign * half[axis]
                    corners[:, u] = -half[u] + size[u] / counts[0] * (i + np.array([0, 1, 1, 0]))
                    corners[:, v] = -half[v] + size[v] / counts[1] * (j + np.array([0, 0, 1, 1]))
                    balls = np.concatenate([corners @ turned.T + centre, np.full((4, 1), 0.004)], axis=1)
                    parts.append(Part(balls, shaded(colour, lit), PROP, bias, shaded=False))
    return parts


def standing_thing(rng: np.random.Generator, kind: str, at: Array, yaw: float) -> tuple[list[Part], float]:
    """Return parts, in metres, of a thing on the floor at `at` (x, z), and the radius of the floor that it takes."""
    colour, turned, ground = colour_of(rng), rotation(1, yaw), np.array([at[0], 0.0, at[1]])

    def box(size: tuple[float, float, float], above: float = 0.0, dx: float = 0.0, dz: float = 0.0) -> list[Part]:
        centre = ground + turned @ np.array([dx, above + size[1] / 2, dz])
        return slab(centre, np.array(size), turned, colour)

    if kind == "table":
        wide, deep, top = rng.uniform(0.6, 1.5), rng.uniform(0.5, 0.8), rng.uniform(0.6, 1.0)
        legs = [(sx * (wide / 2 - 0.05), sz * (deep / 2 - 0.05)) for sx in (-1, 1) for sz in (-1, 1)]
        parts = [part for dx, dz in legs for part in box((0.05, top, 0.05), dx=dx, dz=dz)]
        return parts + box((wide, 0.05, deep), above=top), 0.5 * float(np.hypot(wide, deep))
    if kind == "counter":
        wide, high = rng.uniform(0.9, 2.2), rng.uniform(0.7, 1.25)
        return box((wide, high, 0.25)), 0.5 * wide
    if kind == "panel":
        wide, high = rng.uniform(0.4, 0.9), rng.uniform(1.0, 2.2)
        return box((wide, high, 0.05)), 0.5 * wide
    if kind == "post":
        radius, high = rng.uniform(0.03, 0.14), rng.uniform(1.4, 3.2)
        return box((2 * radius, high, 2 * radius)), radius
    if kind == "plant":
        green = np.clip(rng.normal((60, 110, 50), 22), 5, 235)
        high, wide = rng.uniform(0.6, 1.9), rng.uniform(0.15, 0.4)
        up = np.array([0.0, 1.0, 0.0])
        pot = balls_of((ground + 0.14 * up, 0.13), (ground + 0.05 * up, 0.1))
        stem = balls_of((ground + 0.14 * up, 0.02), (ground + 0.9 * high * up, 0.012))
        parts = [Part(pot, colour, PROP), Part(stem, (90.0, 70.0, 50.0), PROP)]
        for _ in range(int(rng.integers(14, 26))):
            root = ground + rng.uniform(0.3, 0.9) * high * up
            tip = root + np.array([rng.normal(0, 0.6) * wide, rng.uniform(-0.1, 0.2), rng.normal(0, 0.5) * wide])
            leaf = balls_of((root, 0.01), ((root + tip) / 2, rng.uniform(0.03, 0.08)), (tip, 0.012))
            parts.append(Part(leaf, _colour(green * rng.uniform(0.6, 1.35)), PROP))
        return parts, wide
    size = (rng.uniform(0.3, 0.9), rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.7))
    return box(size), 0.5 * float(np.hypot(size[0], size[2]))


def seat(rng: np.random.Generator, build: Build, body: Body) -> list[Part]:
    """Return what a sitting person sits on, in statures: a stool, a chair with a back, or a bench."""
    pelvis, colour, kind = body.joints["pelvis"], colour_of(rng), rng.random()
    low = min(body.joints[f"{side}_ankle"][1] for side in SIDES) - 0.04
    top = pelvis[1] - 0.052 * build.bulk - 0.02
    wide = 0.15 if kind < 0.6 else rng.uniform(0.3, 0.6)
    # drawn before the person who sits on it
    upright, behind = np.eye(3), -0.16
    if kind < 0.25:
        foot = np.array([[pelvis[0], y, pelvis[2], 0.03] for y in (top, low)])
        parts = [Part(foot, shaded(colour, 0.8), PROP, -0.18)]
    else:
        ends = [(sx * (wide - 0.015), sz) for sx in (-1, 1) for sz in (-0.1, 0.13)]
        legs = [np.array([[pelvis[0] + x, y, pelvis[2] + z, 0.012] for y in (top, low)]) for x, z in ends]
        parts = [Part(leg, shaded(colour, 0.7), PROP, -0.1) for leg in legs]
    centre = np.array([pelvis[0], top, pelvis[2] + 0.02])
    parts += slab(centre, np.array([2 * wide, 0.035, 0.28]), upright, colour, behind, cell=0.3)
    if kind > 0.25 and rng.random() < 0.7:
        tall = rng.uniform(0.18, 0.34)
        back = np.array([pelvis[0], top + 0.04 + tall / 2, pelvis[2] - 0.135])
        parts += slab(back, np.array([2 * wide, tall, 0.02]), upright, colour, 0.0, cell=0.3)
    return parts


def bed(rng: np.random.Generator, at: Array, yaw: float, top: float) -> tuple[list[Part], Array]:
    """Return a bed, bench or mat under somebody who lies along z (turned by `yaw`), and its floor outline (N, 2)."""
    turned, size = rotation(1, yaw), np.array([rng.uniform(0.8, 1.5), top, rng.uniform(1.95, 2.3)])
    centre = np.array([at[0], top / 2 - 0.01, at[1]])
    steps = np.linspace(-0.5, 0.5, 9)
    edge = [(x, z) for x in (-0.5, 0.5) for z in steps] + [(x, z) for z in (-0.5, 0.5) for x in steps]
    outline = np.array([[x * size[0], 0.0, z * size[2]] for x, z in edge]) @ turned.T + centre
    return slab(centre, size, turned, colour_of(rng), -0.3, cell=0.25), outline[:, [0, 2]]


def carried(rng: np.random.Generator, build: Build, body: Body) -> list[Part]:
    """Return a rucksack, or a ball, stick or bag in a hand, in statures."""
    joints, colour, kind = body.joints, colour_of(rng), rng.random()
    side = SIDES[int(rng.integers(2))]
    hand, wrist = joints[f"{side}_fingers"], joints[f"{side}_wrist"]
    grip = 0.6 * hand + 0.4 * wrist
    if kind < 0.25:
        middle, across = joints["collar"], body.chest @ np.array([0.06, 0, 0])
        behind = body.chest @ np.array([0.0, 0.0, -0.045 * build.bulk - 0.055])
        down = body.chest @ np.array([0.0, -0.2, 0.0])
        rucksack = [(middle + behind + s * across + t * down, 0.05) for s in (-1, 1) for t in (0.1, 1)]
        return [Part(balls_of(*rucksack), colour, PROP)]
    if kind < 0.5:
        radius = rng.uniform(0.03, 0.075)
        centre = hand + (hand - wrist) / np.linalg.norm(hand - wrist) * (radius - 0.015)
        return [Part(balls_of((centre, radius)), colour, PROP, 0.02)]
    if kind < 0.75:
        direction = rng.normal(0, 1, 3)
        reach = direction / np.linalg.norm(direction) * rng.uniform(0.08, 0.3)
        stick = balls_of((grip - reach, 0.008), (grip + reach, rng.uniform(0.008, 0.028)))
        return [Part(stick, colour, PROP, 0.03)]
    wide = rng.uniform(0.04, 0.11)
    bag = [(grip + np.array([s * wide, -0.03 - t, 0.0]), 0.018) for s in (-1, 1) for t in (0.0, 1.6 * wide)]
    return [Part(balls_of(*bag), colour, PROP, 0.03)]
