"""One image: people placed and drawn in depth order, and its annotations and detections read off the label image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np

from sharpose.data.mannequin import background, paint
from sharpose.data.mannequin.figure import (
    LABELS_PER_PERSON,
    OWN_PARTS,
    PAIRED,
    Colour,
    dress,
    landmarks,
    sample_outfit,
)
from sharpose.data.mannequin.parameters import MannequinParameters
from sharpose.data.mannequin.poses import sample_pose
from sharpose.data.mannequin.render import Camera, Canvas, draw_person, extent
from sharpose.data.mannequin.room import draw_room, set_room
from sharpose.data.mannequin.skeleton3d import pose_body, sample_build
from sharpose.data.mannequin.stage import CROWD, Person, Stage, crowd_annotation
from sharpose.pose.skeleton import COCO

Array = np.ndarray
KEYPOINT_NAMES = COCO.keypoint_names
# (width, height) of the canvas before it varies by a few pixels, and how often each is taken.
CANVASES = (((320, 256), 0.6), ((288, 288), 0.15), ((256, 320), 0.25))


@dataclass(frozen=True)
class Scene:
    """A finished image (H, W, 3) RGB uint8 and its COCO annotations, without ids."""

    image: Array
    annotations: list[dict[str, Any]]


def set_stage(rng: np.random.Generator, parameters: MannequinParameters) -> Stage:
    """Return who stands where, before what; everything in it follows from `rng` and `parameters`."""
    if parameters.version == 2:
        return set_room(rng, parameters)
    index = int(rng.choice(len(CANVASES), p=[share for _, share in CANVASES]))
    width, height = (int(side + rng.integers(-16, 17)) for side in CANVASES[index][0])
    canvas = Canvas(background.draw_background(rng, height, width, parameters), np.zeros((height, width), np.int32))
    wall = tuple(canvas.image.mean(axis=(0, 1)).tolist())
    light = float(rng.uniform(-1, 1))
    crowd = _draw_crowd(rng, canvas, wall, light, parameters) if rng.random() < parameters.crowd_probability else []
    return Stage(canvas, light, crowd, _place_people(rng, (height, width), wall, parameters))


def make_scene(rng: np.random.Generator, parameters: MannequinParameters) -> Scene:
    """Draw one image; everything in it follows from `rng` and `parameters`."""
    stage, annotations = draw_people(rng, parameters)
    _, photograph = _LOOKS[parameters.version]
    image = photograph(rng, stage.canvas.image, parameters)
    return Scene(image, [entry for entry in annotations if entry is not None] + stage.crowd)


def draw_people(rng: np.random.Generator, parameters: MannequinParameters) -> tuple[Stage, list[dict[str, Any] | None]]:
    """Return a stage with everybody drawn on its canvas, and annotations, None for whoever is hardly seen."""
    stage = set_stage(rng, parameters)
    draw, _ = _LOOKS[parameters.version]
    draw(rng, stage, parameters)
    labels = stage.canvas.labels
    return stage, [_annotate(rng, labels, person, number) for number, person in enumerate(stage.people, 1)]


def _draw_flat(rng: np.random.Generator, stage: Stage, parameters: MannequinParameters) -> None:
    canvas, people = stage.canvas, stage.people
    for person in people:
        background.draw_shadow(canvas.image, person.box)
    for number, person in enumerate(people, 1):
        draw_person(canvas, person.parts, person.camera, number, stage.light)
        if rng.random() < parameters.occluder_probability:
            background.draw_occluder(rng, canvas.image, canvas.labels, person.box)


# how people get onto the canvas, and what the camera makes of it, by version
_LOOKS = {1: (_draw_flat, background.photograph), 2: (draw_room, paint.photograph)}


def _place_people(
    rng: np.random.Generator, size: tuple[int, int], wall: Colour, parameters: MannequinParameters
) -> list[Person]:
    """Place people from far to near; who finds no place without covering others too much stays out, never the first."""
    wanted = int(rng.integers(parameters.min_people, parameters.max_people + 1))
    placed: list[Person] = []
    for _ in range(wanted):
        person = _sample_person(rng, wall, parameters)
        for _ in range(12):
            candidate = person.moved(*_sample_shift(rng, person.box, size, parameters))
            if all(_covered(candidate.box, other.box) <= parameters.max_overlap for other in placed):
                placed.append(candidate)
                break
    return sorted(placed, key=lambda person: cast(Camera, person.camera).scale)


def _sample_person(rng: np.random.Generator, wall: Colour, parameters: MannequinParameters) -> Person:
    build, pose = sample_build(rng), sample_pose(rng, parameters.max_yaw)
    body = pose_body(build, pose)
    parts = dress(build, body, sample_outfit(rng, wall, parameters), pose.mode)
    height = np.exp(rng.uniform(np.log(parameters.min_height), np.log(parameters.max_height)))
    camera = Camera(float(height), float(rng.uniform(3.0, 7.0)), float(rng.normal(5, 5 + 8 * parameters.difficulty)))
    return Person(build, pose, body, parts, camera, extent(parts, camera))


def _sample_shift(
    rng: np.random.Generator, box: Array, size: tuple[int, int], parameters: MannequinParameters
) -> tuple[float, float]:
    """Return where to move a box: inside if it fits, else centred; or cut by a side or the bottom by up to a third.

    `box` is (4,), left, top, right and bottom; the shift is (x, y), all in pixels.
    """
    height, width = size
    extents, limits = (box[2] - box[0], box[3] - box[1]), (width, height)
    shift = [
        rng.uniform(2, limit - extent - 2) - low if extent + 5 < limit else (limit - extent) / 2 - low
        for extent, limit, low in zip(extents, limits, box[:2], strict=True)
    ]
    if rng.random() < parameters.truncation_probability:
        cut = rng.uniform(0.08, 0.35)
        border = rng.integers(3)
        if border == 0:
            shift[0] = -cut * extents[0] - box[0]
        elif border == 1:
            shift[0] = width + cut * extents[0] - box[2]
        else:
            shift[1] = height + cut * extents[1] - box[3]
    return float(shift[0]), float(shift[1])


def _covered(first: Array, second: Array) -> float:
    """Return the common area of two boxes (left, top, right, bottom) as a share of the smaller."""
    common = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
    return float(common / min((first[2:] - first[:2]).prod(), (second[2:] - second[:2]).prod()))


def _annotate(rng: np.random.Generator, labels: Array, person: Person, number: int) -> dict[str, Any] | None:
    """Return one drawn person's annotation, from what of them is seen; None if nothing much is. `labels` is (H, W)."""
    mask = (labels // LABELS_PER_PERSON == number).astype(np.uint8)
    area = int(mask.sum())
    if area < 100:
        return None
    keypoints = _keypoints(rng, labels, person, number)
    return {
        "segmentation": _polygons(mask),
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "area": area,
        "iscrowd": 0,
        "keypoints": [value for x, y, v in keypoints.tolist() for value in (round(x, 2), round(y, 2), int(v))],
        "bbox": list(cv2.boundingRect(mask)),
    }


def keypoint_positions(person: Person) -> tuple[Array, Array]:
    """Return keypoints in pixels (17, 2), and whether each faces the camera (17,); joints inside the body always do."""
    surface, normals = landmarks(person.build, person.body)
    points = np.array([surface[name] if name in surface else person.body.joints[name] for name in KEYPOINT_NAMES])
    facing = np.ones(len(KEYPOINT_NAMES), bool)
    for index, name in enumerate(KEYPOINT_NAMES):
        if name in normals:
            facing[index] = person.camera.faces(points[index : index + 1], normals[name][None])[0]
    return person.camera.project(points)[0], facing


def _keypoints(rng: np.random.Generator, labels: Array, person: Person, number: int) -> Array:
    """Return rows (x, y, v), (17, 3); v: 2 if the keypoint's own part is seen, 1 hidden, 0 outside or unlabelled."""
    height, width = labels.shape
    points, facing = keypoint_positions(person)
    unlabelled = rng.random(len(points))
    rows = np.zeros((len(points), 3))
    for index, (name, (x, y)) in enumerate(zip(KEYPOINT_NAMES, points, strict=True)):
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        shown = facing[index] and int(labels[round(y), round(x)]) in _own_labels(name, number)
        # Annotators seldom mark hidden eyes and ears, and now and then skip a hidden joint.
        chance = 0.0 if shown else 0.85 if index < 5 else 0.1
        if unlabelled[index] >= chance:
            rows[index] = x, y, 2 if shown else 1
    return rows


def _own_labels(name: str, number: int) -> set[int]:
    side = 1 if name.startswith("right") else 0
    parts = OWN_PARTS[name.split("_")[-1]]
    return {number * LABELS_PER_PERSON + part + (side if part in PAIRED else 0) for part in parts}


def _polygons(mask: Array) -> list[list[float]]:
    """Return the outlines of a mask (H, W) as flat lists x, y, x, y and so on; its box where none is large enough."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, 0.7, True).reshape(-1) for contour in contours]
    kept = [polygon.tolist() for polygon in simple if len(polygon) >= 6]
    x, y, width, height = cv2.boundingRect(mask)
    return kept or [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _draw_crowd(
    rng: np.random.Generator, canvas: Canvas, wall: Colour, light: float, parameters: MannequinParameters
) -> list[dict[str, Any]]:
    """Draw a row of small people in the back, annotated as one crowd without keypoints, as COCO does."""
    height, width = canvas.labels.shape
    small = replace(parameters, min_height=40.0, max_height=55.0)
    centre, base = rng.uniform(0.25, 0.75) * width, rng.uniform(0.3, 0.6) * height
    for place in range(int(rng.integers(5, 10))):
        person = _sample_person(rng, wall, small)
        dx = centre + (place - 3) * 16 + rng.normal(0, 4) - person.box[[0, 2]].mean()
        person = person.moved(float(dx), float(base + rng.normal(0, 5) - person.box[3]))
        draw_person(canvas, person.parts, person.camera, CROWD, light)
    return [crowd_annotation(canvas.labels)]
