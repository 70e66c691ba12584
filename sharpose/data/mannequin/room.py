"""Scenes of version 2: one camera, a floor and a wall, people in every posture, near and far, and things among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from sharpose.data.mannequin import things
from sharpose.data.mannequin.figure import PROP, Colour, Outfit, Part, dress, sample_outfit
from sharpose.data.mannequin.paint import Actor, Cloths, draw_actors, draw_shadows
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.poses import LYING, POSTURES, Pose, sample_posture
from sharpose.data.mannequin.render import Canvas, Lens, Viewpoint, extent
from sharpose.data.mannequin.skeleton3d import Body, Build, pose_body, rotation, sample_build
from sharpose.data.mannequin.stage import CROWD, Person, Stage, crowd_annotation
from sharpose.data.mannequin.textures import CLOTHES, FLOORS, SIDE, WALLS, choose, smaller, tile

Array = np.ndarray
# (width, height) of the canvas before it varies by a few pixels, and how often each is taken
CANVASES = (((384, 288), 0.62), ((320, 320), 0.12), ((288, 384), 0.26))
STATURE = 1.7
# least metres between joints of two people seen from above, to a thing, and to the camera
APART, APART_FROM_THINGS, NEAREST = 0.27, 0.2, 0.7
TRIES = 6
# the largest share of somebody's box over which another's box, or a thing's, may lie
MOST_COVERED = 0.8
# how often there are so many people, from the least on
PEOPLE = (0.2, 0.26, 0.22, 0.18)


@dataclass(frozen=True)
class Figure:
    """Somebody with a place yet to be found: the body turned as it stands in the room, its lowest point at 0."""

    build: Build
    pose: Pose
    body: Body
    parts: list[Part]
    cloths: Cloths
    turned: Array
    stature: float
    lowest: float
    tall: float


def set_room(rng: np.random.Generator, parameters: MannequinParameters) -> Stage:
    """Who stands where, before what, seen from where; everything in it follows from `rng` and `parameters`."""
    index = int(rng.choice(len(CANVASES), p=[share for _, share in CANVASES]))
    width, height = (int(side + rng.integers(-24, 25)) for side in CANVASES[index][0])
    canvas = Canvas(np.empty((height, width, 3), np.uint8), np.zeros((height, width), np.int32))
    outdoors = bool(rng.random() < 0.45)
    wall_colour = things.colour_of(rng) if not outdoors else tuple(np.clip(rng.normal((95, 110, 85), 40), 10, 240))
    first = _sample_figure(rng, wall_colour, parameters)
    lens, start = _set_camera(rng, (width, height), first, parameters)
    people, furniture, taken = _place_people(rng, (width, height), lens, first, start, wall_colour, parameters)
    furniture += _place_things(rng, (width, height), lens, people, taken, parameters)
    is_crowded = rng.random() < parameters.crowd_probability
    farthest = max([-float(lens.look(points).min(axis=0)[2]) for points in taken])
    distance = farthest + (rng.uniform(4, 25) if outdoors else rng.uniform(0.7, 3.0))
    crowd_at = lens.focal * STATURE / 45
    if is_crowded:
        distance = max(distance, crowd_at + 2)
    _draw_backdrop(rng, canvas.image, lens, distance, outdoors, wall_colour, parameters)
    light = float(rng.uniform(-1, 1))
    crowd = _draw_crowd(rng, canvas, lens, crowd_at, light, wall_colour, parameters) if is_crowded else []
    return Stage(canvas, light, crowd, people, furniture, lens)


def draw_room(rng: np.random.Generator, stage: Stage, parameters: MannequinParameters) -> None:
    """Draw shadows, people and things onto the stage's canvas."""
    assert stage.lens is not None
    actors = [person.actor(number) for number, person in enumerate(stage.people, 1)] + stage.things
    draw_shadows(stage.canvas.image, actors, stage.lens, stage.light, float(rng.uniform(0.1, 0.65)))
    draw_actors(stage.canvas, actors, stage.light)


def _sample_figure(rng: np.random.Generator, wall: Colour, parameters: MannequinParameters) -> Figure:
    build, pose = sample_build(rng), sample_posture(rng)
    body, outfit = pose_body(build, replace(pose, yaw=0.0)), _muted(rng, sample_outfit(rng, wall, parameters))
    parts = dress(build, body, outfit, "")
    own = np.concatenate([part.balls for part in parts])
    if pose.mode == "sitting":
        parts += things.seat(rng, build, body)
    if rng.random() < 0.3:
        parts += things.carried(rng, build, body)
    forwards, sideways = POSTURES[pose.mode].turn
    side = 1.0 if rng.random() < 0.5 else -1.0
    turned = rotation(1, pose.yaw) @ rotation(0, forwards) @ rotation(2, side * sideways)
    stature = STATURE * float(rng.normal(1.0, 0.06)) * (1.0 if build.head < 0.17 else float(rng.uniform(0.55, 0.85)))
    heights = (own[:, :3] @ turned.T)[:, 1]
    lowest, highest = float((heights - own[:, 3]).min()), float((heights + own[:, 3]).max())
    cloths = {
        colour: smaller(tile(rng, choose(rng, CLOTHES), np.array(colour), rng.uniform(10, 245, 3), rng.uniform(0, 12)))
        for colour in (outfit.shirt, outfit.bottoms)
    }
    return Figure(build, pose, body, parts, cloths, turned, stature, lowest * stature, (highest - lowest) * stature)


def _muted(rng: np.random.Generator, outfit: Outfit) -> Outfit:
    """The same outfit in less loud colours."""
    shirt, bottoms, shoes = (
        tuple((mix * np.mean(colour) + (1 - mix) * np.array(colour)).tolist())
        for colour, mix in zip((outfit.shirt, outfit.bottoms, outfit.shoes), rng.uniform(0, 1, 3), strict=True)
    )
    return replace(outfit, shirt=shirt, bottoms=bottoms, shoes=shoes)


def _set_camera(
    rng: np.random.Generator, size: tuple[int, int], first: Figure, parameters: MannequinParameters
) -> tuple[Lens, Array]:
    """The lens, and where the first person is on the floor (x, z), such that they are in the picture."""
    width, height = size
    focal = max(size) * float(rng.uniform(0.85, 1.9))
    tall = np.exp(rng.uniform(np.log(parameters.min_height), np.log(parameters.max_height)))
    distance = max(focal * STATURE / tall, 1.3)
    # metres of the first person's plane that the picture shows
    seen = height * distance / focal
    if seen > first.tall + 0.3:
        aim = first.tall / 2 + rng.uniform(-0.5, 0.5) * (seen - first.tall - 0.2)
    else:
        top = first.tall + rng.uniform(-0.05, 0.3) * seen if rng.random() < 0.9 else first.tall * rng.uniform(0.65, 1)
        aim = top - seen / 2
    kind = rng.random()
    pitch = rng.normal(4, 6) if kind < 0.75 else rng.normal(22, 8) if kind < 0.93 else rng.normal(-10, 5)
    above = float(np.clip(aim + distance * np.tan(np.radians(np.clip(pitch, -22, 50))), 0.3, 5.0))
    down = float(np.degrees(np.arctan2(above - aim, distance)))
    roll = float(rng.normal(0, 3.5) if rng.random() < 0.85 else rng.normal(0, 13))
    lens = Lens(focal, (width / 2, height / 2), rotation(2, roll) @ rotation(0, down), np.array([0.0, above, 0.0]))
    return lens, np.array([rng.uniform(-0.36, 0.36) * width * distance / focal, -distance])


def _place_people(
    rng: np.random.Generator,
    size: tuple[int, int],
    lens: Lens,
    first: Figure,
    start: Array,
    wall: Colour,
    parameters: MannequinParameters,
) -> tuple[list[Person], list[Actor], list[Array]]:
    """People from far to near, what they lie on, and the points of the room that all of it takes.

    `start`: where the first one stands, (x, z) in metres.
    """
    spare = parameters.max_people - parameters.min_people + 1
    shares = np.array([PEOPLE[min(at, len(PEOPLE) - 1)] for at in range(spare)])
    wanted = parameters.min_people + int(rng.choice(spare, p=shares / shares.sum()))
    placed: list[tuple[Person, list[Actor], Array]] = []
    for number in range(wanted):
        figure = first if number == 0 else _sample_figure(rng, wall, parameters)
        for attempt in range(TRIES):
            # the first is never left out: should there be no room, then farther away
            at = start * (1 + 0.5 * attempt) if number == 0 else _sample_place(rng, size, lens, placed, parameters)
            found = _put(rng, figure, lens, at)
            last = number == 0 and attempt == TRIES - 1
            if found is not None and (last or _fits(found, placed, size)):
                placed.append(found)
                break
    placed.sort(key=lambda entry: float(np.linalg.norm(entry[2].mean(axis=0) - lens.position)), reverse=True)
    return [entry[0] for entry in placed], [actor for entry in placed for actor in entry[1]], [e[2] for e in placed]


def _sample_place(
    rng: np.random.Generator,
    size: tuple[int, int],
    lens: Lens,
    placed: list[tuple[Person, list[Actor], Array]],
    parameters: MannequinParameters,
) -> Array:
    """Beside or behind somebody who is there, or anywhere in the picture, near or far. Return (x, z) in metres."""
    if placed and rng.random() < 0.72:
        beside = placed[int(rng.integers(len(placed)))][2][0]
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.15)
        return np.array([beside[0] + away * np.cos(angle), beside[2] + 1.2 * away * np.sin(angle)])
    tall = np.exp(rng.uniform(np.log(parameters.min_height), np.log(parameters.max_height)))
    distance = max(lens.focal * STATURE / tall, 1.2)
    return np.array([rng.uniform(-0.44, 0.44) * size[0] * distance / lens.focal, -distance])


def _put(rng: np.random.Generator, figure: Figure, lens: Lens, at: Array) -> tuple[Person, list[Actor], Array] | None:
    """Somebody on the floor at (x, z), or on a bed there, and the points they take; None if too near the camera."""
    lift, actors, outline = 0.0, [], np.zeros((0, 2))
    if figure.pose.mode in ("jumping", "running"):
        lift = float(max(0.0, rng.normal(0.1, 0.15)))
    joints = np.array(list(figure.body.joints.values())) @ figure.turned.T * figure.stature
    middle = joints[:, [0, 2]].mean(axis=0)
    if figure.pose.mode in LYING and rng.random() < 0.55:
        lift = float(rng.choice([0.06, rng.uniform(0.3, 0.6)]))
        along = figure.turned @ np.array([0.0, 1.0, 0.0])
        parts, outline = things.bed(rng, at, float(np.degrees(np.arctan2(along[0], along[2]))), lift)
        actors = [Actor(0, parts, Viewpoint(lens, np.eye(3), np.zeros(3), 1.0))]
    position = np.array([at[0] - middle[0], lift - figure.lowest, at[1] - middle[1]])
    taken = np.concatenate([joints + position, np.insert(outline, 1, lift, axis=1)])
    if lens.look(taken)[:, 2].max() > -NEAREST:
        return None
    camera = Viewpoint(lens, figure.turned, position, figure.stature)
    box = extent(figure.parts, camera)
    return Person(figure.build, figure.pose, figure.body, figure.parts, camera, box, figure.cloths), actors, taken


def _fits(
    found: tuple[Person, list[Actor], Array], placed: list[tuple[Person, list[Actor], Array]], size: tuple[int, int]
) -> bool:
    """Whether enough of a person is in the picture, nobody stands in anybody, and nobody is covered altogether.

    A box is (4,) in pixels, points of the room are (n, 3) in metres.
    """
    box, taken = _clipped(found[0].box, size), found[2]
    shown = (box[2:] - box[:2]).clip(0).prod() / (found[0].box[2:] - found[0].box[:2]).prod()
    if shown < 0.55 and ((box[2:] - box[:2]) < 0.45 * np.array(size)).any():
        return False
    for other, _, points in placed:
        over = _clipped(other.box, size)
        if _distance(taken, points) < APART or max(_share(box, over), _share(over, box)) > MOST_COVERED:
            return False
    return True


def _clipped(box: Array, size: tuple[int, int]) -> Array:
    """Return a box (4,), left, top, right and bottom, cut at the borders of a picture (width, height)."""
    return np.concatenate([box[:2].clip(0, size), box[2:].clip(0, size)])


def _share(box: Array, other: Array) -> float:
    """The share of a box (left, top, right, bottom) that another covers."""
    common = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0).prod()
    return float(common / max(1.0, (box[2:] - box[:2]).prod()))


def _distance(first: Array, second: Array) -> float:
    """Least distance of two sets of points (N, 3) seen from above."""
    apart = first[:, None, [0, 2]] - second[None, :, [0, 2]]
    return float(np.sqrt((apart**2).sum(axis=-1).min()))


def _place_things(
    rng: np.random.Generator,
    size: tuple[int, int],
    lens: Lens,
    people: list[Person],
    taken: list[Array],
    parameters: MannequinParameters,
) -> list[Actor]:
    """Things in front of some of the people, and others that stand about.

    `taken`: points of the room (n, 3) in metres, for each person.
    """
    places = []
    for points in taken:
        if rng.random() < parameters.occluder_probability:
            middle = points[:, [0, 2]].mean(axis=0)
            to_camera = -middle / np.linalg.norm(middle)
            aside = np.array([-to_camera[1], to_camera[0]]) * rng.normal(0, 0.3)
            places.append(middle + to_camera * rng.uniform(0.35, 0.95) + aside)
    farthest = max(-points[:, 2].min() for points in taken) + 2.0
    for _ in range(rng.poisson(parameters.clutter)):
        distance = rng.uniform(1.5, farthest)
        places.append(np.array([rng.uniform(-0.6, 0.6) * size[0] * distance / lens.focal, -distance]))
    boxes = [_clipped(person.box, size) for person in people]
    actors = []
    for at in places:
        yaw = float(rng.choice([0.0, rng.uniform(-40, 40)]))
        parts, radius = things.standing_thing(rng, choose(rng, things.KINDS), at, yaw)
        camera, balls = Viewpoint(lens, np.eye(3), np.zeros(3), 1.0), np.concatenate([part.balls for part in parts])
        spot = np.array([[at[0], 0.0, at[1]]])
        near = min(_distance(points, spot) for points in taken) < min(radius, 0.5) + APART_FROM_THINGS
        corners = min(_distance(points, balls[:, :3]) for points in taken) < APART_FROM_THINGS
        if near or corners or lens.look(balls[:, :3])[:, 2].max() > -NEAREST:
            continue
        box = _clipped(extent([replace(part, label=PROP + 1) for part in parts], camera), size)
        shut = max(_share(one, box) for one in boxes)
        if shut < MOST_COVERED and _share(np.array([0, 0, *size]), box) < 0.4:
            actors.append(Actor(0, parts, camera))
    return actors


def _draw_backdrop(
    rng: np.random.Generator,
    image: Array,
    lens: Lens,
    distance: float,
    outdoors: bool,
    wall_colour: Colour,
    parameters: MannequinParameters,
) -> None:
    """A textured floor, and a wall at `distance` metres; outdoors the wall ends and there is sky above it.

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
    rng: np.random.Generator, kinds: tuple[tuple[str, int], ...], colour: Array, parameters: MannequinParameters
) -> list[Array]:
    """The tile of a wall or floor, with its halves. `colour` is RGB (3,)."""
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
    """Mask (H, W) uint8 of the pixels below a level line in the room, the one through `foot` along `right`."""
    ends, _ = lens.project(np.stack([foot - right, foot + right]))
    slope = (ends[1, 1] - ends[0, 1]) / (ends[1, 0] - ends[0, 0])
    line = ends[0, 1] + slope * (np.arange(image.shape[1]) - ends[0, 0])
    return (np.arange(image.shape[0])[:, None] > line).astype(np.uint8)


def _hang(
    rng: np.random.Generator, image: Array, lens: Lens, foot: Array, right: Array, distance: float, top: float
) -> None:
    """A picture, window, door or sign on a wall that ends at `top`; the larger, the farther away the wall is.

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


def _draw_crowd(
    rng: np.random.Generator,
    canvas: Canvas,
    lens: Lens,
    distance: float,
    light: float,
    wall: Colour,
    parameters: MannequinParameters,
) -> list[dict[str, Any]]:
    """A row of small people far away, annotated as one crowd without keypoints, as COCO does."""
    centre = rng.uniform(-0.3, 0.3) * canvas.labels.shape[1] * distance / lens.focal
    actors = []
    for place in range(int(rng.integers(5, 10))):
        figure = replace(_sample_figure(rng, wall, parameters), cloths={})
        at = np.array([centre + (place - 3) * 0.6 + rng.normal(0, 0.15), -distance + rng.normal(0, 0.4)])
        put = _put(rng, figure, lens, at)
        if put is not None:
            actors.append(put[0].actor(CROWD))
    draw_actors(canvas, actors, light)
    return [crowd_annotation(canvas.labels)] if (canvas.labels > 0).any() else []
