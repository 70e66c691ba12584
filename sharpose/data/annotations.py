"""COCO-format JSON files, read with every field checked: a mistake is one line naming file and field."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from sharpose.data.mpii import is_mpii, mpii_as_coco
from sharpose.data.skeleton import COCO_CATEGORY, Skeleton
from sharpose.errors import InputError

LARGEST = 1e30
# what file systems take
MAX_NAME, MAX_PATH = 255, 4000


@dataclass(frozen=True)
class ImageEntry:
    """One row of `images`; height and width are 0 where the file does not give them."""

    file_name: str
    height: int
    width: int


@dataclass(frozen=True)
class PoseFile:
    """A checked keypoint annotation file: images by id, the rows of its keypoint category and their layout."""

    path: Path
    images: dict[int, ImageEntry]
    annotations: list[dict[str, Any]] = field(repr=False)
    category_id: int
    skeleton: Skeleton
    is_mpii: bool = False
    """Whether the file is in MPII's layout; row i is then person i of MPII's ground truth."""


def read_json(path: Path) -> Any:
    """Parsed JSON. Raises InputError where the file is missing, not text or cut off."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; give the JSON file in it") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not valid JSON at line {error.lineno} ({error.msg}); broken or cut off, fetch it again"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; a JSON file is wanted") from None
    # numbers of thousands of digits, and brackets by the thousand
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]}); fetch it again") from None


def load_pose_file(path: Path, skeleton: Skeleton | None = None) -> PoseFile:
    """Read and check a keypoint file in COCO's or MPII's layout.

    `skeleton` replaces its category's layout (same number of keypoints).
    """
    content = read_json(path)
    if is_mpii(content):
        return replace(parse_pose_file(mpii_as_coco(content, path), path, skeleton), is_mpii=True)
    return parse_pose_file(content, path, skeleton)


def parse_pose_file(data: Any, path: Path, skeleton: Skeleton | None = None) -> PoseFile:
    """Check the content of a COCO keypoint file; errors name `path`.

    A file of image information (COCO's test splits) has no annotations: nobody is annotated, and the layout is COCO's.
    """
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: must be an object with images, annotations and categories, not a {type(data).__name__}"
        )
    if "annotations" not in data and _names_people(data.get("categories")):
        data = {**data, "annotations": [], "categories": [COCO_CATEGORY]}
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list) or not all(isinstance(row, dict) for row in data[key]):
            raise InputError(f"{path}: {key} must be a list of objects; is this a COCO keypoint annotation file?")
    category = _keypoint_category(path, data["categories"])
    layout = _layout(path, category, skeleton)
    images = _images(path, data["images"])
    rows = [row for row in data["annotations"] if row.get("category_id", category["id"]) == category["id"]]
    seen: set[int] = set()
    for row in rows:
        _check_annotation(path, row, images, layout.num_keypoints, seen)
    return PoseFile(path, images, rows, category["id"], layout)


def onto(pose_file: PoseFile, skeleton: Skeleton) -> PoseFile:
    """The same people with the keypoints of another layout, found by name; those the file lacks are unlabelled.

    Raises InputError where the layouts have no name in common.
    """
    own = pose_file.skeleton.keypoint_names
    places = [own.index(name) if name in own else None for name in skeleton.keypoint_names]
    if not any(place is not None for place in places):
        raise InputError(f"{pose_file.path}: none of its keypoints ({', '.join(own)}) is one of the model's")
    rows = [_moved(row, places) for row in pose_file.annotations]
    return replace(pose_file, annotations=rows, skeleton=skeleton)


def _moved(row: dict[str, Any], places: list[int | None]) -> dict[str, Any]:
    if "keypoints" not in row:
        return row
    old = row["keypoints"]
    new = [value for at in places for value in ([0, 0, 0] if at is None else old[3 * at : 3 * at + 3])]
    return {**row, "keypoints": new, "num_keypoints": sum(visible > 0 for visible in new[2::3])}


def load_detections(path: Path, pose_file: PoseFile) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a COCO detections file for the keypoint category, each with its number in the file."""
    data = read_json(path)
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise InputError(f"{path}: must be a list of detections (image_id, category_id, bbox, score)")
    kept = []
    for number, row in enumerate(data):
        where = f"{path}: [{number}]"
        if row.get("category_id") != pose_file.category_id:
            continue
        if not _is_int(row.get("image_id")) or row["image_id"] not in pose_file.images:
            raise InputError(
                f"{where}.image_id {row.get('image_id')!r} is not an image of {pose_file.path}; "
                "use the detections of that split"
            )
        _numbers(row.get("bbox"), 4, f"{where}.bbox")
        if min(row["bbox"][2:]) < 0:
            raise InputError(f"{where}.bbox {row['bbox']}: width and height (its last two) cannot be negative")
        _numbers([row.get("score")], 1, f"{where}.score")
        kept.append((number, row))
    if not kept:
        raise InputError(f"{path}: holds no detection of category {pose_file.category_id}")
    return kept


def _names_people(categories: object) -> bool:
    """Whether these are COCO's categories, as a file without annotations lists them."""
    own = {"id": COCO_CATEGORY["id"], "name": COCO_CATEGORY["name"]}
    return isinstance(categories, list) and any(
        isinstance(row, dict) and own.items() <= row.items() for row in categories
    )


def _keypoint_category(path: Path, categories: list[dict[str, Any]]) -> dict[str, Any]:
    with_keypoints = [category for category in categories if category.get("keypoints")]
    if len(with_keypoints) > 1:
        with_keypoints = [category for category in with_keypoints if category.get("name") == "person"]
    if len(with_keypoints) != 1:
        raise InputError(f"{path}: categories must hold exactly one category with keypoint names (or one named person)")
    if not _is_int(with_keypoints[0].get("id")):
        raise InputError(f"{path}: categories[].id must be an integer")
    return with_keypoints[0]


def _layout(path: Path, category: dict[str, Any], skeleton: Skeleton | None) -> Skeleton:
    try:
        own = Skeleton.from_category(category)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if skeleton is not None and skeleton.num_keypoints != own.num_keypoints:
        raise InputError(f"{path}: has {own.num_keypoints} keypoints, the given skeleton {skeleton.num_keypoints}")
    return skeleton or own


def _images(path: Path, rows: list[dict[str, Any]]) -> dict[int, ImageEntry]:
    images: dict[int, ImageEntry] = {}
    for number, row in enumerate(rows):
        where = f"{path}: images[{number}]"
        image_id, name = row.get("id"), row.get("file_name")
        if not _is_int(image_id) or image_id in images:
            raise InputError(f"{where}.id must be an integer that no other image has, not {image_id!r}")
        if not isinstance(name, str) or not _is_inside(name):
            raise InputError(f"{where}.file_name must be a path inside the images folder, not {name!r}")
        height, width = row.get("height", 0), row.get("width", 0)
        if not (_is_int(height) and _is_int(width) and height >= 0 and width >= 0):
            raise InputError(f"{where}: height and width must be positive integers")
        images[image_id] = ImageEntry(name, height, width)
    return images


def _check_annotation(
    path: Path, row: dict[str, Any], images: dict[int, ImageEntry], num_keypoints: int, seen: set[int]
) -> None:
    where = f"{path}: annotation {row.get('id')!r}"
    if not _is_int(row.get("id")) or row["id"] < 0 or row["id"] in seen:
        raise InputError(f"{where}: id must be a non-negative integer that no other annotation has")
    seen.add(row["id"])
    if not _is_int(row.get("image_id")) or row["image_id"] not in images:
        raise InputError(f"{where}: image_id {row.get('image_id')!r} is not among images")
    _numbers(row.get("bbox"), 4, f"{where}: bbox")
    if not row.get("iscrowd") or "keypoints" in row:
        _numbers(row.get("keypoints"), 3 * num_keypoints, f"{where}: keypoints")
    if not _is_int(row.get("num_keypoints", 0)):
        raise InputError(f"{where}: num_keypoints must be an integer, not {row['num_keypoints']!r}")
    if "area" in row:
        _numbers([row["area"]], 1, f"{where}: area")


def _is_inside(name: str) -> bool:
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        return False
    try:
        return all(len(os.fsencode(part)) <= MAX_NAME for part in Path(name).parts) and len(name) <= MAX_PATH
    except UnicodeEncodeError:
        return False


def _is_int(value: object) -> TypeGuard[int]:
    # ids and sizes become 64-bit numbers
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _numbers(values: object, count: int, where: str) -> None:
    if not isinstance(values, list) or len(values) != count:
        raise InputError(f"{where} must be a list of {count} numbers")
    for value in values:
        # a whole number of hundreds of digits is finite, and no number to calculate with
        if not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise InputError(f"{where} holds {value!r}; every value must be a finite number")
