"""Keypoints on pictures of the user's: a JSON file in COCO's results format, and a drawing of every picture.

Rules. A boxes file is a JSON list of objects with `file_name` (of a given picture) or `image_id` (the number in the
file's name, as in COCO's), `bbox` [x, y, width, height] in pixels, and optionally `score`. Without one, the whole
picture is the box, and pictures are turned upright by their EXIF orientation; with one, boxes and keypoints count in
stored pixels, as COCO does. A picture that cannot be read, or a box without area or outside its picture, is left out
and listed; the rest is done. Grey, CMYK and 16-bit pictures become RGB as `sharpose.data.images` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from sharpose.codecs.choice import codec_of
from sharpose.codecs.geometry import (
    affine_warp_matrix,
    box_to_center_scale,
    crop,
    invert,
    transform_points,
    udp_warp_matrix,
)
from sharpose.data.annotations import read_json
from sharpose.data.images import read_image
from sharpose.data.normalise import normalise
from sharpose.data.skeleton import COCO, MPII, Skeleton
from sharpose.errors import InputError
from sharpose.files import write_atomically, write_json
from sharpose.metrics.postprocess import rescore
from sharpose.models.output import PoseModel

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
DRAWN = ".pose.jpg"
BATCH = 32
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


@dataclass
class Summary:
    """Where the results are, COCO rows, and what was left out and why."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """Pictures named, and those directly in folders named, in order. Raises InputError for anything else."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = [one for one in sorted(path.iterdir()) if one.suffix.lower() in PICTURES]
            inside = [one for one in inside if not one.name.endswith(DRAWN)]
            if not inside:
                raise InputError(f"{path}: holds no picture ({', '.join(PICTURES)})")
            found += inside
        elif path.suffix.lower() in VIDEOS:
            raise InputError(f"{path}: videos are not read; make pictures first: ffmpeg -i {path.name} frames/%06d.jpg")
        elif not path.is_file():
            raise InputError(f"{path}: no such picture or folder")
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def image_ids(pictures: Sequence[Path]) -> list[int]:
    """The numbers in the files' names where all have their own, as in COCO; else 1, 2, 3 …"""
    stems = [picture.stem for picture in pictures]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(stems) + 1))


def load_boxes(path: Path, pictures: Sequence[Path]) -> dict[Path, list[tuple[list[float], float]]]:
    """Boxes and scores by picture. Raises InputError for a row that is malformed or of no given picture."""
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InputError(f"{path}: must be a list of objects with file_name or image_id, bbox and, optionally, score")
    keys = dict(zip(image_ids(pictures), pictures, strict=True)) if content else {}
    names = {name: picture for picture in pictures for name in (str(picture), picture.name)}
    boxes: dict[Path, list[tuple[list[float], float]]] = {}
    for number, row in enumerate(content):
        picture = names.get(str(row["file_name"])) if "file_name" in row else None
        if picture is None and isinstance(row.get("image_id"), int):
            picture = keys.get(row["image_id"])
        if picture is None:
            raise InputError(f"{path}: [{number}] is of no given picture; its file_name or image_id must be one's")
        box, score = row.get("bbox"), row.get("score", 1.0)
        values: list[Any] = [*box, score] if isinstance(box, list) and len(box) == 4 else [None]
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            raise InputError(f"{path}: [{number}] needs a bbox of four finite numbers, and a number as score")
        boxes.setdefault(picture, []).append(([float(value) for value in values[:4]], float(score)))
    return boxes


def skeleton_of(num_keypoints: int) -> Skeleton | None:
    """The layout a number of keypoints stands for; None where no known one has it (points alone are drawn)."""
    return next((one for one in (COCO, MPII) if one.num_keypoints == num_keypoints), None)


def predict_pictures(
    model: PoseModel,
    pictures: Sequence[Path],
    out: Path,
    *,
    boxes: Path | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Predict every box of every picture, write `out/keypoints.json` and one drawing per picture.

    Raises InputError where nothing at all could be predicted.
    """
    by_picture = None if boxes is None else load_boxes(boxes, pictures)
    model = model.to(device).eval()
    summary, used = Summary(out / "keypoints.json"), set[str]()
    for number, (picture, image_id) in enumerate(zip(pictures, image_ids(pictures), strict=True), start=1):
        try:
            pixels = read_image(picture, upright=boxes is None)
        except InputError as error:
            summary.skipped.append(str(error))
        else:
            wanted = whole(pixels) if by_picture is None else by_picture.get(picture, [])
            usable = keep_usable(wanted, pixels, picture, summary.skipped)
            people = predict_people(model, pixels, usable, device)
            summary.rows += [result_row(person, picture, image_id) for person in people]
            target = out / drawing_name(picture, used)
            write_drawing(target, draw(pixels, people, skeleton_of(model.config.num_keypoints)))
            summary.drawings.append(str(target))
        if progress is not None:
            progress(number, len(pictures))
    if not summary.drawings:
        raise InputError(f"no picture could be read; the first: {summary.skipped[0]}")
    write_json(summary.path, summary.rows)
    return summary


def whole(pixels: UInt8[np.ndarray, "H W 3"]) -> list[tuple[list[float], float]]:
    return [([0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])], 1.0)]


def keep_usable(
    boxes: Sequence[tuple[list[float], float]], pixels: np.ndarray, picture: Path, skipped: list[str]
) -> list[tuple[list[float], float]]:
    """Boxes with area that touch the picture; the others are noted."""
    usable, (height, width) = [], pixels.shape[:2]
    for box, score in boxes:
        x, y, w, h = box
        if w <= 0 or h <= 0:
            skipped.append(f"{picture}: the box {box} has no area")
        elif x >= width or y >= height or x + w <= 0 or y + h <= 0:
            skipped.append(f"{picture}: the box {box} lies outside its {width}x{height} pixels")
        else:
            usable.append((box, score))
    return usable


@torch.inference_mode()
def predict_people(
    model: PoseModel, pixels: UInt8[np.ndarray, "H W 3"], boxes: Sequence[tuple[list[float], float]], device: str
) -> list[Person]:
    """One person per box of a picture, without flip test."""
    config, codec, people = model.config, codec_of(model.config), list[Person]()
    warp = udp_warp_matrix if codec.warp == "udp" else affine_warp_matrix
    for start in range(0, len(boxes), BATCH):
        part = boxes[start : start + BATCH]
        framed = [box_to_center_scale(np.asarray(box), config.image_size) for box, _ in part]
        matrices = [warp(center, scale, 0.0, config.image_size) for center, scale in framed]
        crops = np.stack([crop(pixels, matrix, config.image_size) for matrix in matrices])
        images = normalise(torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()).to(device))
        output = model(images)
        points, scores = codec.decode(output.heatmaps.float())
        centers, scales = (torch.tensor(np.stack(side), dtype=torch.float32) for side in zip(*framed, strict=True))
        placed = codec.to_image(points, centers.to(device), scales.to(device)).double().cpu().numpy()
        values = scores.double().cpu().numpy()
        totals = rescore(np.array([score for _, score in part]), values)
        quality, refined = getattr(output, "quality", None), getattr(output, "needs_refinement", None)
        selected = selected_patches(output, config, matrices)
        for row, (box, _) in enumerate(part):
            people.append(
                Person(
                    bbox_xywh=box,
                    keypoints=np.column_stack([placed[row], values[row]]),
                    score=float(totals[row]),
                    quality=None if quality is None else float(quality[row]),
                    refined=None if refined is None else bool(refined[row]),
                    patches=selected.get(row, np.zeros((0, 4, 2))),
                )
            )
    return people


def selected_patches(output: Any, config: Any, matrices: Sequence[np.ndarray]) -> Mapping[int, np.ndarray]:
    """Corners, in picture pixels, of the coarse patches that were looked at finely, by row of the batch."""
    keep = getattr(output, "keep_indices", None)
    if not isinstance(keep, torch.Tensor) or not hasattr(config, "coarse_grid"):
        return {}
    side, columns = config.patch_size * config.refine_ratio, config.coarse_grid[1]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    rows = output.needs_refinement.nonzero()[:, 0].tolist()
    found = {}
    for row, indices in zip(rows, keep.cpu().numpy(), strict=True):
        cells = np.column_stack([indices % columns, indices // columns])
        # the first pixel's middle is at 0, so its edge is half a pixel before
        edges = (cells[:, None] + corners) * side - 0.5
        found[row] = transform_points(edges.astype(np.float64), invert(matrices[row]))
    return found


def result_row(person: Person, picture: Path, image_id: int) -> dict[str, Any]:
    """COCO's results format, with the picture, its box, the predicted quality and whether it was looked at again."""
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": person.keypoints.ravel().tolist(),
        "score": person.score,
        "file_name": picture.name,
        "bbox": person.bbox_xywh,
        "quality": person.quality,
        "refined": person.refined,
    }


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
