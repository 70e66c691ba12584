"""Keypoints on pictures of the user's: a JSON file in COCO's results format, and a drawing of every picture.

Rules. A boxes file is a JSON list of objects with `file_name` (of a given picture) or `image_id` (the number in the
file's name, as in COCO's), `bbox` [x, y, width, height] in pixels, and optionally `score`. Without one, the whole
picture is the box, or a detector finds people, and pictures are turned upright by their EXIF orientation; with one,
boxes and keypoints count in stored pixels, as COCO does. A picture that cannot be read, or a box without area or
outside its picture, is left out and listed; the rest is done. Grey, CMYK and 16-bit pictures become RGB as
`sharpose.data.images` says. Videos are in `sharpose.video`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

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
from sharpose.data.skeleton import known_skeleton
from sharpose.drawing import DRAWN, Person, draw, drawing_name, write_drawing
from sharpose.errors import InputError
from sharpose.files import write_json
from sharpose.metrics.postprocess import rescore
from sharpose.models.output import PoseModel

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
BATCH = 32
Boxes = list[tuple[list[float], float]]
"""(x, y, width, height) in pixels, and a score, for each person of a picture."""
FindBoxes = Callable[[np.ndarray], Boxes]


@dataclass
class Summary:
    """Where the results are, COCO rows, and what was left out and why."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    drawings: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def find_inputs(inputs: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures and videos named, and those directly in folders named, in order. Raises InputError for anything else."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = [one for one in sorted(path.iterdir()) if one.suffix.lower() in (*PICTURES, *VIDEOS)]
            # hidden files, as a Mac puts beside its own (._a.jpg), pipes and folders are no pictures
            inside = [one for one in inside if one.is_file() and not one.name.startswith(".")]
            inside = [one for one in inside if not one.stem.endswith(Path(DRAWN).stem)]
            if not inside:
                raise InputError(f"{path}: holds no picture or video ({', '.join((*PICTURES, *VIDEOS))})")
            found += inside
        elif not path.is_file():
            raise InputError(f"{path}: no such picture, video or folder")
        else:
            found.append(path)
    found = list(dict.fromkeys(found))
    videos = [path for path in found if path.suffix.lower() in VIDEOS]
    return [path for path in found if path not in videos], videos


def image_ids(pictures: Sequence[Path]) -> list[int]:
    """The numbers in the files' names where all have their own, as in COCO; else 1, 2, 3 …"""
    stems = [picture.stem for picture in pictures]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(stems) + 1))


def load_boxes(path: Path, pictures: Sequence[Path]) -> dict[Path, Boxes]:
    """Boxes and scores by picture. Raises InputError for a row that is malformed or of no given picture."""
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise InputError(f"{path}: must be a list of objects with file_name or image_id, bbox and, optionally, score")
    keys = dict(zip(image_ids(pictures), pictures, strict=True)) if content else {}
    names = {name: picture for picture in pictures for name in (str(picture), picture.name)}
    boxes: dict[Path, Boxes] = {}
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


def predict_pictures(
    model: PoseModel,
    pictures: Sequence[Path],
    out: Path,
    *,
    boxes: Path | None = None,
    find: FindBoxes | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Predict every box of every picture, write `out/keypoints.json` and one drawing per picture.

    Boxes come from a file, or `find` gives those of a picture (default: the whole of it).
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
            wanted = (find or whole)(pixels) if by_picture is None else by_picture.get(picture, [])
            usable = keep_usable(wanted, pixels, picture, summary.skipped)
            people = predict_people(model, pixels, usable, device)
            summary.rows += [result_row(person, picture, image_id) for person in people]
            target = out / drawing_name(picture, used)
            write_drawing(target, draw(pixels, people, known_skeleton(model.config.num_keypoints)))
            summary.drawings.append(str(target))
        if progress is not None:
            progress(number, len(pictures))
    if not summary.drawings:
        raise InputError(f"no picture could be read; the first: {summary.skipped[0]}")
    write_json(summary.path, summary.rows)
    return summary


def whole(pixels: UInt8[np.ndarray, "H W 3"]) -> Boxes:
    """The picture as the one box."""
    return [([0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])], 1.0)]


def keep_usable(boxes: Boxes, pixels: np.ndarray, picture: Path, skipped: list[str]) -> Boxes:
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
def predict_people(model: PoseModel, pixels: UInt8[np.ndarray, "H W 3"], boxes: Boxes, device: str) -> list[Person]:
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
    for row, padded in zip(rows, keep.cpu().numpy(), strict=True):
        indices = padded[padded >= 0]
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
