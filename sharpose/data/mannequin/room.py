"""Scenes of version 2: one camera, a floor and a wall, people in every posture, near and far, and things among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sharpose.data.mannequin import things
from sharpose.data.mannequin.backdrop import draw_backdrop
from sharpose.data.mannequin.figure import PROP, Colour, Outfit, Part, dress, sample_outfit
from sharpose.data.mannequin.paint import Actor, Cloths, draw_actors, draw_shadows
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.poses import LYING, POSTURES, Pose, choose, sample_posture
from sharpose.data.mannequin.render import Canvas, Lens, Viewpoint, extent
from sharpose.data.mannequin.skeleton3d import Body, Build, pose_body, rotation, sample_build
from sharpose.data.mannequin.stage import CROWD, Person, Stage, crowd_annotation
from sharpose.data.mannequin.textures import CLOTHES, smaller, tile

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
    """Return who stands where, before what, seen from where; everything in it follows from `rng` and `parameters`."""
    index = int(rng.choice(len(CANVASES), p=[share for _, share in CANVASES]))
    width, height = (int(side + rng.integers(-24, 25)) for side in CANVASES[index][0])
    canvas = Canvas(np.empty((height, width, 3), np.uint8), np.zeros((height, width), np.int32))
    outdoors = bool(rng.random() < 0.45)
    wall = things.colour_of(rng) if not outdoors else tuple(np.clip(rng.normal((95, 110, 85), 40), 10, 240))
    first = _sample_figure(rng, wall, parameters)
    lens, start = _set_camera(rng, (width, height), first, parameters)
    room = Room(rng, parameters, lens, (width, height), wall)
    placed = room.place_people(first, start)
    furniture = [actor for one in placed for actor in one.under] + room.place_things(placed)
    is_crowded = rng.random() < parameters.crowd_probability
    farthest = max(-float(lens.look(one.taken).min(axis=0)[2]) for one in placed)
    distance = farthest + (rng.uniform(4, 25) if outdoors else rng.uniform(0.7, 3.0))
    crowd_at = lens.focal * STATURE / 45
    if is_crowded:
        distance = max(distance, crowd_at + 2)
    draw_backdrop(rng, canvas.image, lens, distance, outdoors, wall, parameters)
    light = float(rng.uniform(-1, 1))
    crowd = room.draw_crowd(canvas, crowd_at, light) if is_crowded else []
    return Stage(canvas, light, crowd, [one.person for one in placed], furniture, lens)


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
    """Return the same outfit in less loud colours."""
    shirt, bottoms, shoes = (
        tuple((mix * np.mean(colour) + (1 - mix) * np.array(colour)).tolist())
        for colour, mix in zip((outfit.shirt, outfit.bottoms, outfit.shoes), rng.uniform(0, 1, 3), strict=True)
    )
    return replace(outfit, shirt=shirt, bottoms=bottoms, shoes=shoes)


def _set_camera(
    rng: np.random.Generator, size: tuple[int, int], first: Figure, parameters: MannequinParameters
) -> tuple[Lens, Array]:
    """Return the lens, and where the first person is on the floor (x, z), such that they are in the picture."""
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


@dataclass(frozen=True)
class Placed:
    """Somebody with a place, what they lie on, and the points of the room (n, 3), in metres, that both take."""

    person: Person
    under: list[Actor]
    taken: Array


@dataclass(frozen=True)
class Room:
    """The floor before a wall, seen through a lens in a picture of `size` (width, height), to be filled by chance."""

    rng: np.random.Generator
    parameters: MannequinParameters
    lens: Lens
    size: tuple[int, int]
    wall: Colour

    @property
    def camera(self) -> Viewpoint:
        """Return the lens for things whose parts are in the room's metres."""
        return Viewpoint(self.lens, np.eye(3), np.zeros(3), 1.0)

    def place_people(self, first: Figure, start: Array) -> list[Placed]:
        """Place people from far to near. `start`: where the first one stands, (x, z) in metres."""
        rng, parameters = self.rng, self.parameters
        spare = parameters.max_people - parameters.min_people + 1
        shares = np.array([PEOPLE[min(at, len(PEOPLE) - 1)] for at in range(spare)])
        wanted = parameters.min_people + int(rng.choice(spare, p=shares / shares.sum()))
        placed: list[Placed] = []
        for number in range(wanted):
            figure = first if number == 0 else _sample_figure(rng, self.wall, parameters)
            for attempt in range(TRIES):
                # the first is never left out: should there be no room, then farther away
                at = start * (1 + 0.5 * attempt) if number == 0 else self.sample_place(placed)
                found = self.put(figure, at)
                last = number == 0 and attempt == TRIES - 1
                if found is not None and (last or self.fits(found, placed)):
                    placed.append(found)
                    break
        return sorted(
            placed, key=lambda one: float(np.linalg.norm(one.taken.mean(axis=0) - self.lens.position)), reverse=True
        )

    def sample_place(self, placed: list[Placed]) -> Array:
        """Return a place, (x, z) in metres: beside or behind somebody there, or anywhere in sight, near or far."""
        rng, parameters = self.rng, self.parameters
        if placed and rng.random() < 0.72:
            beside = placed[int(rng.integers(len(placed)))].taken[0]
            angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.15)
            return np.array([beside[0] + away * np.cos(angle), beside[2] + 1.2 * away * np.sin(angle)])
        tall = np.exp(rng.uniform(np.log(parameters.min_height), np.log(parameters.max_height)))
        distance = max(self.lens.focal * STATURE / tall, 1.2)
        return np.array([rng.uniform(-0.44, 0.44) * self.size[0] * distance / self.lens.focal, -distance])

    def put(self, figure: Figure, at: Array) -> Placed | None:
        """Put somebody on the floor at (x, z), or on a bed there; None if too near the camera."""
        rng = self.rng
        lift, actors, outline = 0.0, [], np.zeros((0, 2))
        if figure.pose.mode in ("jumping", "running"):
            lift = float(max(0.0, rng.normal(0.1, 0.15)))
        joints = np.array(list(figure.body.joints.values())) @ figure.turned.T * figure.stature
        middle = joints[:, [0, 2]].mean(axis=0)
        if figure.pose.mode in LYING and rng.random() < 0.55:
            lift = float(rng.choice([0.06, rng.uniform(0.3, 0.6)]))
            along = figure.turned @ np.array([0.0, 1.0, 0.0])
            parts, outline = things.bed(rng, at, float(np.degrees(np.arctan2(along[0], along[2]))), lift)
            actors = [Actor(0, parts, self.camera)]
        position = np.array([at[0] - middle[0], lift - figure.lowest, at[1] - middle[1]])
        taken = np.concatenate([joints + position, np.insert(outline, 1, lift, axis=1)])
        if self.lens.look(taken)[:, 2].max() > -NEAREST:
            return None
        camera = Viewpoint(self.lens, figure.turned, position, figure.stature)
        box = extent(figure.parts, camera)
        person = Person(figure.build, figure.pose, figure.body, figure.parts, camera, box, figure.cloths)
        return Placed(person, actors, taken)

    def fits(self, found: Placed, placed: list[Placed]) -> bool:
        """Return whether enough of a person is in the picture, nobody stands in anybody, and nobody is all covered."""
        whole, box = found.person.box, self.clipped(found.person.box)
        shown = (box[2:] - box[:2]).clip(0).prod() / (whole[2:] - whole[:2]).prod()
        if shown < 0.55 and ((box[2:] - box[:2]) < 0.45 * np.array(self.size)).any():
            return False
        for other in placed:
            over = self.clipped(other.person.box)
            covered = max(_share(box, over), _share(over, box))
            if _distance(found.taken, other.taken) < APART or covered > MOST_COVERED:
                return False
        return True

    def clipped(self, box: Array) -> Array:
        """Return a box (4,), left, top, right and bottom, cut at the borders of the picture."""
        return np.concatenate([box[:2].clip(0, self.size), box[2:].clip(0, self.size)])

    def place_things(self, placed: list[Placed]) -> list[Actor]:
        """Place things in front of some of the people, and others that stand about."""
        rng, places = self.rng, []
        for one in placed:
            if rng.random() < self.parameters.occluder_probability:
                middle = one.taken[:, [0, 2]].mean(axis=0)
                to_camera = -middle / np.linalg.norm(middle)
                aside = np.array([-to_camera[1], to_camera[0]]) * rng.normal(0, 0.3)
                places.append(middle + to_camera * rng.uniform(0.35, 0.95) + aside)
        farthest = max(-one.taken[:, 2].min() for one in placed) + 2.0
        for _ in range(rng.poisson(self.parameters.clutter)):
            distance = rng.uniform(1.5, farthest)
            places.append(np.array([rng.uniform(-0.6, 0.6) * self.size[0] * distance / self.lens.focal, -distance]))
        boxes = [self.clipped(one.person.box) for one in placed]
        actors = []
        for at in places:
            yaw = float(rng.choice([0.0, rng.uniform(-40, 40)]))
            parts, radius = things.standing_thing(rng, choose(rng, things.KINDS), at, yaw)
            balls, spot = np.concatenate([part.balls for part in parts])[:, :3], np.array([[at[0], 0.0, at[1]]])
            near = min(_distance(one.taken, spot) for one in placed) < min(radius, 0.5) + APART_FROM_THINGS
            corners = min(_distance(one.taken, balls) for one in placed) < APART_FROM_THINGS
            if near or corners or self.lens.look(balls)[:, 2].max() > -NEAREST:
                continue
            box = self.clipped(extent([replace(part, label=PROP + 1) for part in parts], self.camera))
            shut = max(_share(one, box) for one in boxes)
            if shut < MOST_COVERED and _share(np.array([0, 0, *self.size]), box) < 0.4:
                actors.append(Actor(0, parts, self.camera))
        return actors

    def draw_crowd(self, canvas: Canvas, distance: float, light: float) -> list[dict[str, Any]]:
        """Draw a row of small people far away, annotated as one crowd without keypoints, as COCO does."""
        rng = self.rng
        centre = rng.uniform(-0.3, 0.3) * self.size[0] * distance / self.lens.focal
        actors = []
        for place in range(int(rng.integers(5, 10))):
            figure = replace(_sample_figure(rng, self.wall, self.parameters), cloths={})
            at = np.array([centre + (place - 3) * 0.6 + rng.normal(0, 0.15), -distance + rng.normal(0, 0.4)])
            if (found := self.put(figure, at)) is not None:
                actors.append(found.person.actor(CROWD))
        draw_actors(canvas, actors, light)
        return [crowd_annotation(canvas.labels)] if (canvas.labels > 0).any() else []


def _share(box: Array, other: Array) -> float:
    """Return the fraction of a box (left, top, right, bottom) that another covers."""
    common = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0).prod()
    return float(common / max(1.0, (box[2:] - box[:2]).prod()))


def _distance(first: Array, second: Array) -> float:
    """Return the least distance of two sets of points (N, 3) seen from above."""
    apart = first[:, None, [0, 2]] - second[None, :, [0, 2]]
    return float(np.sqrt((apart**2).sum(axis=-1).min()))
