"""Folders of YOLO-pose: a data.yaml with `kpt_shape`, pictures, and a text file of labels for each, as COCO's layout.

A line is `class x y width height` and, for every keypoint, `x y` or `x y v`: shares of the picture, the box by its
centre. A keypoint with v 0, or at 0 0 where there is no v, is unlabelled. A picture without labels has no people.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sharpose.data.images import picture_size
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import read_text
from sharpose.runtime.plain_yaml import ERRORS, MAX_BYTES, plain_yaml

SPLITS = ("train", "val", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
ROUNDING = 1e-3
"""How far beyond the picture a box may reach, as a share of it: what writing with three digits does."""
MAX_LABELS = 2**20


@dataclass(frozen=True)
class Yolo:
    """What a data.yaml says. `folders`: of a split, where its pictures are; `flip`: the partner of each keypoint."""

    path: Path
    points: int
    values: int
    classes: Mapping[int, str]
    names: list[str]
    flip: list[int] | None
    splits: Mapping[str, list[Path]]

    @property
    def categories(self) -> list[dict[str, Any]]:
        """Return a category per class, as keypoints are the same for all."""
        layout: dict[str, Any] = {"keypoints": self.names}
        if self.names == COCO_CATEGORY["keypoints"]:
            layout["skeleton"] = COCO_CATEGORY["skeleton"]
        if self.flip is not None:
            pairs = [(left, right) for left, right in enumerate(self.flip) if left < right]
            layout["flip_pairs"] = [[self.names[left], self.names[right]] for left, right in pairs]
        return [{"id": number + 1, "name": name, **layout} for number, name in self.classes.items()]


def find_yaml(folder: Path) -> Path | None:
    """Return the file that describes a folder of YOLO-pose; None where there is none."""
    files = [folder / "data.yaml", *sorted(folder.glob("*.yaml"))]
    return next((path for path in files if path.is_file() and "kpt_shape" in read_text(path, MAX_BYTES)), None)


def read_yaml(path: Path) -> Yolo:
    """Read a data.yaml. Raises InputError naming file and field."""
    try:
        content = plain_yaml(read_text(path, MAX_BYTES))
    except ERRORS as error:
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping with kpt_shape, names, train and val")
    shape = content.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and type(shape[0]) is int and shape[0] > 0 < 4 > shape[1] > 1):
        raise InputError(f"{path}: kpt_shape must be [number of keypoints, 2 or 3], not {shape!r}")
    names = content.get("names", {0: "person"})
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(classes, dict) or not all(type(key) is int and key >= 0 for key in classes):
        raise InputError(f"{path}: names must be a list of classes, or a mapping from their numbers")
    flip = content.get("flip_idx")
    if flip is not None and (sorted(flip) != list(range(shape[0])) or any(flip[flip[one]] != one for one in flip)):
        raise InputError(f"{path}: flip_idx must name the partner of each of the {shape[0]} keypoints, from 0 on")
    splits = {name: places(path, content, name) for name in SPLITS if content.get(name)}
    if not splits:
        raise InputError(f"{path}: none of {', '.join(SPLITS)} says where pictures are")
    classes = {key: str(name) for key, name in classes.items()}
    points, values = shape
    return Yolo(path, points, values, classes, keypoint_names(path, content, points, flip), flip, splits)


def keypoint_names(path: Path, content: Mapping[str, Any], points: int, flip: list[int] | None) -> list[str]:
    """Return `kpt_names`, COCO's for its 17 with pairs, or numbers. Raises InputError for another number of names."""
    given = content.get("kpt_names")
    given = next(iter(given.values()), None) if isinstance(given, dict) else given
    if given is not None:
        if not isinstance(given, list) or len(given) != points:
            raise InputError(f"{path}: kpt_names must be {points} names, as kpt_shape says")
        return list(map(str, given))
    if points == COCO.num_keypoints and flip in (None, list(COCO.flip_order)):
        return list(COCO_CATEGORY["keypoints"])
    return [f"point_{number}" for number in range(points)]


def places(path: Path, content: Mapping[str, Any], split: str) -> list[Path]:
    """Return the folders, or lists of files, of a split. Raises InputError for one that is not there."""
    given = content[split] if isinstance(content[split], list) else [content[split]]
    bases = [path.parent / str(content.get("path") or "."), path.parent]
    found = []
    for one in map(str, given):
        # some write ../train/images for a folder beside the file
        inside = PurePosixPath(*(part for part in PurePosixPath(one).parts if part != ".."))
        candidates = [*(base / one for base in bases), path.parent / inside]
        there = next((each for each in candidates if each.exists()), None)
        if there is None:
            raise InputError(f"{path}: {split}: {one}: no such folder beside it")
        found.append(there)
    return found


def pictures(place: Path) -> Iterator[Path]:
    """Yield the pictures of a folder, or of a text file that lists them. Raises InputError for one not there."""
    if place.is_dir():
        yield from sorted(one for one in place.rglob("*") if one.suffix.lower() in SUFFIXES)
        return
    for number, line in enumerate(read_text(place, MAX_LABELS * 64).splitlines(), 1):
        if line.strip():
            picture = place.parent / line.strip()
            if not picture.is_file():
                raise InputError(f"{place}:{number}: {line.strip()}: no such picture")
            yield picture


def labels_of(picture: Path) -> Path:
    """Return the file of a picture's labels: `labels` in the place of the last `images` of its path."""
    parts = list(picture.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def yolo_as_coco(yolo: Yolo, split: str, root: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the people of a split in COCO's layout, names of pictures relative to `root`; no rule is ever needed.

    InputError names file and line.
    """
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for picture in (one for place in yolo.splits[split] for one in pictures(place)):
        if not picture.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{yolo.path}: {split}: {picture} lies outside {root}")
        width, height = picture_size(picture)
        name = picture.resolve().relative_to(root.resolve()).as_posix()
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        labels = labels_of(picture)
        if not labels.is_file():
            continue
        for number, line in enumerate(read_text(labels, MAX_LABELS).splitlines(), 1):
            if line.strip():
                row = read_line(yolo, line, f"{labels}:{number}", (width, height))
                annotations.append({"id": len(annotations) + 1, "image_id": len(images), **row})
    if not images:
        raise InputError(f"{yolo.path}: {split}: no picture in {', '.join(map(str, yolo.splits[split]))}")
    return {"images": images, "annotations": annotations, "categories": yolo.categories}, {}


def read_line(yolo: Yolo, line: str, where: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return one person in pixels. Raises InputError naming file and line."""
    words, wanted = line.split(), 5 + yolo.points * yolo.values
    if len(words) != wanted:
        shape = f"kpt_shape [{yolo.points}, {yolo.values}]"
        raise InputError(f"{where}: has {len(words)} numbers; {shape} asks for {wanted}")
    class_, *values = (number_of(word, where) for word in words)
    if class_ not in yolo.classes:
        raise InputError(f"{where}: class {words[0]} is none of {yolo.path.name}'s names")
    shares = [value for place, value in enumerate(values) if place < 4 or (place - 4) % yolo.values < 2]
    if not all(math.isfinite(value) for value in values) or not all(-1 <= value <= 2 for value in shares):
        raise InputError(f"{where}: numbers must be shares of the picture, from 0 to 1; are these pixels?")
    x, y, w, h = values[:4]
    if min(w, h) < 0 or min(x - w / 2, y - h / 2) < -ROUNDING or max(x + w / 2, y + h / 2) > 1 + ROUNDING:
        raise InputError(f"{where}: the box (x y width height = {x:g} {y:g} {w:g} {h:g}) reaches beyond the picture")
    width, height = size
    keypoints = list[float]()
    for place in range(4, len(values), yolo.values):
        px, py = values[place : place + 2]
        visible = values[place + 2] if yolo.values == 3 else 2.0 * bool(px or py)
        keypoints += [px * width, py * height, visible] if visible > 0 else [0, 0, 0]
    box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
    return {"category_id": int(class_) + 1, "iscrowd": 0, "bbox": box, "keypoints": keypoints}


def number_of(word: str, where: str) -> float:
    """Return a word as a number. Raises InputError, naming `where`, for another."""
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{where}: {word!r} is no number") from None
