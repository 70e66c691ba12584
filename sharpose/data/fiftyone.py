"""Exports of FiftyOne as COCO's layout: its COCO-style one (labels.json, data/) and its own (samples.json, data/).

FiftyOne's keypoints have no names in the first and a skeleton, where there is one, in the second; 17 without names are
COCO's. A person without a box of their own gets the one around their labelled keypoints, and that is noted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from sharpose.data.annotations import are_objects, read_json
from sharpose.data.images import picture_size
from sharpose.pose.skeleton import COCO, COCO_CATEGORY
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import is_number

LABELS, SAMPLES, METADATA, PICTURES = "labels.json", "samples.json", "metadata.json", "data"
AROUND = "people without a box of their own, who got the one around their labelled keypoints"
BARE = "labels without keypoints, left out"


def labels_as_coco(folder: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the COCO-style export, and how often a rule was needed. Raises InputError naming file and field."""
    path = folder / LABELS
    content, notes = read_json(path), dict.fromkeys((AROUND, BARE), 0)
    rows = content.get("annotations") if isinstance(content, dict) else None
    if not are_objects(rows):
        raise InputError(f"{path}: annotations must be a list of objects; is this FiftyOne's COCO-style export?")
    kept = []
    for number, row in enumerate(rows):
        keypoints = row.get("keypoints")
        if not keypoints:
            notes[BARE] += 1
            continue
        if not isinstance(keypoints, list) or len(keypoints) % 3 or not all(map(is_number, keypoints)):
            raise InputError(f"{path}: annotations[{number}].keypoints must be numbers, x y v for each keypoint")
        triples = [keypoints[place : place + 3] for place in range(0, len(keypoints), 3)]
        notes[AROUND] += not row.get("bbox")
        kept.append({**row, "bbox": row.get("bbox") or around(triples)})
    categories = content.get("categories") or [{"id": row["category_id"], "name": "person"} for row in kept[:1]]
    counts = {len(row["keypoints"]) // 3 for row in kept}
    named = [one if one.get("keypoints") else {**layout(path, counts), **one} for one in categories]
    return {**content, "annotations": kept, "categories": named}, notes


def samples_as_coco(folder: Path, field: str | None) -> tuple[dict[str, Any], dict[str, int]]:
    """Return FiftyOne's own export; `field` names the keypoints where there are several. InputError names the field."""
    path = folder / SAMPLES
    content = read_json(path)
    samples = content.get("samples") if isinstance(content, dict) else None
    if not are_objects(samples):
        raise InputError(f"{path}: samples must be a list of objects; is this FiftyOne's own export?")
    field = keypoint_field(path, samples, field)
    notes = {AROUND: 0}
    images, people, counts = list[dict[str, Any]](), list[dict[str, Any]](), set[int]()
    for number, sample in enumerate(samples):
        where = f"{path}: samples[{number}]"
        name = sample.get("filepath")
        if not isinstance(name, str) or not (folder / name).is_file():
            raise InputError(f"{where}.filepath: {name!r} is no picture in {folder}")
        width, height = picture_size(folder / name)
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
        boxes = dict(boxes_of(sample))
        for place, label in enumerate((sample.get(field) or {}).get("keypoints") or ()):
            here = f"{where}.{field}.keypoints[{place}]"
            triples = [triple(point, width, height, here) for point in label.get("points") or ()]
            counts.add(len(triples))
            box = boxes.get(identity(label)) if identity(label) else None
            notes[AROUND] += box is None
            shown = [box[0] * width, box[1] * height, box[2] * width, box[3] * height] if box else around(triples)
            row = {"bbox": shown, "keypoints": [value for each in triples for value in each]}
            people.append({"id": len(people) + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0, **row})
    category = skeleton_of(folder, field) or layout(path, counts)
    if counts - {len(category["keypoints"])}:
        wanted = len(category["keypoints"])
        raise InputError(f"{path}: {field}: {sorted(counts)} points a person; there must be {wanted}")
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person", **category}]}, notes


def keypoint_field(path: Path, samples: list[dict[str, Any]], wanted: str | None) -> str:
    """Return the field that holds keypoints. Raises InputError where there is none, or several and none was named."""
    found = dict.fromkeys(
        name
        for sample in samples
        for name, value in sample.items()
        if isinstance(value, dict) and value.get("_cls") == "Keypoints"
    )
    if wanted in found or (wanted is None and len(found) == 1):
        return wanted or next(iter(found))
    there = "there is none"
    if found:
        there = f"there are {', '.join(found)}; name one, --data {path.parent}:{next(iter(found))}"
    raise InputError(f"{path}: one field of keypoints is wanted{f', {wanted!r}' if wanted else ''}; {there}")


def boxes_of(sample: Mapping[str, Any]) -> Iterator[tuple[str, list[float]]]:
    """Yield the boxes of a picture by what they share with their keypoints: the instance, or the index."""
    for value in sample.values():
        if isinstance(value, dict) and value.get("_cls") == "Detections":
            for label in value.get("detections") or ():
                box = label.get("bounding_box")
                if identity(label) and isinstance(box, list) and len(box) == 4 and all(map(is_number, box)):
                    yield identity(label), box


def identity(label: Mapping[str, Any]) -> str:
    """Return whom a label is of, where it says that; "" elsewhere."""
    instance = label.get("instance")
    if isinstance(instance, dict):
        return f"instance {instance.get('_id')}"
    return "" if label.get("index") is None else f"index {label['index']}"


def triple(point: Any, width: int, height: int, where: str) -> list[float]:
    """Return x, y in pixels and v of a point in shares of the picture; one that is no number is unlabelled.

    Raises InputError for what is no pair of numbers, or lies far outside.
    """
    if not isinstance(point, list) or len(point) != 2:
        raise InputError(f"{where}.points must be pairs of numbers, x and y as shares of the picture")
    x, y = (float(one["$numberDouble"]) if isinstance(one, dict) and "$numberDouble" in one else one for one in point)
    if x is None or y is None or (isinstance(x, float) and math.isnan(x)):
        return [0, 0, 0]
    if not (is_number(x) and is_number(y) and -1 <= x <= 2 and -1 <= y <= 2):
        raise InputError(f"{where}.points: {point} must be shares of the picture, from 0 to 1")
    return [x * width, y * height, 2]


def skeleton_of(folder: Path, field: str) -> dict[str, Any] | None:
    """Return the layout that the export's metadata names for a field, or for all."""
    path = folder / METADATA
    content = read_json(path) if path.is_file() else {}
    found = (content.get("skeletons") or {}).get(field) or content.get("default_skeleton") or {}
    labels = found.get("labels")
    if not isinstance(labels, list):
        return None
    edges = [pair for edge in found.get("edges") or () for pair in pairwise(edge)]
    return {"keypoints": list(map(str, labels)), "skeleton": [[a + 1, b + 1] for a, b in edges]}


def layout(path: Path, counts: set[int]) -> dict[str, Any]:
    """Return COCO's names for 17 keypoints. Raises InputError for another number, which nothing names."""
    if counts <= {COCO.num_keypoints}:
        return {key: COCO_CATEGORY[key] for key in ("keypoints", "skeleton")}
    raise InputError(
        f"{path}: has {', '.join(map(str, sorted(counts)))} keypoints a person, and no names for them; add them to "
        "categories[].keypoints, or set the data set's skeleton in FiftyOne and export its own format"
    )


def around(triples: list[list[float]]) -> list[float]:
    """Return the box around labelled keypoints, at least a pixel wide and high; without area where there are none."""
    labelled = [one for one in triples if one[2] > 0]
    if not labelled:
        return [0.0, 0.0, 0.0, 0.0]
    left, top = min(one[0] for one in labelled), min(one[1] for one in labelled)
    right, bottom = max(one[0] for one in labelled), max(one[1] for one in labelled)
    return [left, top, max(right - left, 1.0), max(bottom - top, 1.0)]
