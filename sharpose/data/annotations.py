"""COCO-format JSON files, read with every field checked: a mistake is one line naming file and field.

One reader for training, evaluation and `data doctor`. Its rules:

- Numbers are numbers: text in their place ("1", "false"), NaN and infinity are errors. A whole number may be written
  1.0, `iscrowd` true or false; null is as a field that is missing.
- A keypoint is labelled where its v is above 0, and `num_keypoints` follows from that, whatever the file says. Where a
  person has a v other than 0, 1 and 2, each becomes 0 or 2.
- An `area` that is missing or 0 is that of the box.
- A box is cut at the borders of its image; a person whose box has no area there is left out.
- A row without `category_id` is of the keypoint category; rows of others are left out.
- Boxes that all lie within one pixel are shares of the picture, which is an error.

Where a rule was needed, `PoseFile.notes` says so, with how many rows; `CocoTopDown` prints them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from sharpose.data.annotation_rows import (
    APART,
    CORNERS,
    Fault,
    Findings,
    ImageEntry,
    RowReader,
    category_of,
    check_numbers,
    check_unit,
    is_inside,
    is_whole,
)
from sharpose.data.mpii import is_mpii, mpii_as_coco
from sharpose.data.people import compacted
from sharpose.pose.skeleton import COCO_CATEGORY, Skeleton, known_skeleton
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import read_text

# ten times the largest file of COCO
MAX_JSON_BYTES = 4 * 2**30


@dataclass(frozen=True)
class PoseFile:
    """A checked keypoint annotation file: images by id, the rows of its keypoint category and their layout.

    Rows have integers as ids, `iscrowd` 0 or 1, and, except crowds, `keypoints`, `num_keypoints` and `area` by the
    rules above; of a file, without polygons, and whole keypoints in an array. notes: one line for each rule that was
    applied.
    """

    path: Path
    images: dict[int, ImageEntry]
    annotations: list[dict[str, Any]] = field(repr=False)
    category_id: int
    skeleton: Skeleton
    is_mpii: bool = False
    """Whether the file is in MPII's layout; row i is then person i of MPII's ground truth."""
    notes: tuple[str, ...] = ()


def read_json(path: Path, change: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return parsed JSON, each object changed as soon as it is read.

    Raises InputError for a file that is missing, not text or cut off, and where an object has a key twice.
    """

    def read_object(pairs: list[tuple[str, Any]]) -> Any:
        row = dict(pairs)
        if len(row) < len(pairs):
            # JSON's usual readers keep the last, and the other is lost in silence
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise InputError(f"{path}: an object has the key {twice!r} twice; keep one")
        return row if change is None else change(row)

    text = read_text(path, MAX_JSON_BYTES, "the JSON file")
    try:
        return json.loads(text, object_pairs_hook=read_object)
    except InputError:
        raise
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not valid JSON at line {error.lineno} ({error.msg}); broken or cut off, fetch it again"
        ) from None
    # numbers of thousands of digits, and brackets by the thousand
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]}); fetch it again") from None


def read_rows(path: Path, what: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON list. Raises InputError, naming `what` they must be, for anything else."""
    content = read_json(path)
    if not are_objects(content):
        raise InputError(f"{path}: must be a list of {what}")
    return content


def are_objects(content: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Return whether this is a list of JSON objects."""
    return isinstance(content, list) and all(isinstance(row, dict) for row in content)


def load_pose_file(path: Path, category: str | None = None, findings: Findings | None = None) -> PoseFile:
    """Read and check a keypoint file in COCO's or MPII's layout.

    category: the name of the keypoint category, where there are several and none is `person`, or another is meant.
    findings: where faults are to be collected. Raises InputError at the first fault, unless they are collected.
    """
    content = read_json(path, compacted)
    if is_mpii(content):
        if category is not None:
            raise InputError(f"{path}: --category {category}: only goes with annotations in COCO's layout")
        content = mpii_as_coco(content, path)
        return replace(parse_pose_file(content, path, findings=findings), is_mpii=True, notes=())
    return parse_pose_file(content, path, category, findings)


def parse_pose_file(data: Any, path: Path, category: str | None = None, findings: Findings | None = None) -> PoseFile:
    """Check the content of a COCO keypoint file; errors name `path`.

    A file of image information (COCO's test splits) has no annotations: nobody is annotated, and the layout is COCO's.
    Raises InputError at the first fault, unless they are collected.
    """
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: must be an object with images, annotations and categories, not a {type(data).__name__}"
        )
    if "annotations" not in data and _names_people(data.get("categories")):
        data = {**data, "annotations": [], "categories": [COCO_CATEGORY]}
    for key in ("images", "annotations", "categories"):
        if not are_objects(data.get(key)):
            raise InputError(f"{path}: {key} must be a list of objects; is this a COCO keypoint annotation file?")
    findings = findings or Findings()
    chosen = _keypoint_category(path, data["categories"], category)
    try:
        layout = Skeleton.from_category(chosen)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    images = _images(path, data["images"], findings)
    names = {row["id"]: row.get("name") for row in data["categories"] if is_whole(row.get("id"))}
    reader = RowReader(path, images, layout, names, chosen["id"], findings)
    rows = [row for row in map(reader.read, data["annotations"]) if row is not None]
    findings.rows = len(data["annotations"])
    people = [row["bbox"] for row in rows if not row["iscrowd"] and row["num_keypoints"]]
    check_unit(path, [box for box in people if min(box[2:]) > 0], "people")
    # a few boxes lie across a border, or around what is seen of a person whose only label lies elsewhere, also in COCO
    if 2 * len(findings.remarks.get(CORNERS, ())) > len(rows):
        findings.losses[CORNERS] = findings.remarks.pop(CORNERS)
    if 10 * len(findings.losses.get(APART, ())) < len(rows):
        findings.losses.pop(APART, None)
    findings.remarks |= {note: [] for note in layout.notes if rows}
    return PoseFile(path, images, rows, chosen["id"], layout, notes=findings.notes)


def onto(pose_file: PoseFile, skeleton: Skeleton) -> PoseFile:
    """Return the same people with the keypoints of another layout, found by name in any spelling.

    Those the file lacks are unlabelled, and noted. Raises InputError where the layouts have no name in common.
    """
    own = pose_file.skeleton.keypoint_names
    places = [own.index(name) if name in own else None for name in skeleton.keypoint_names]
    missing = [name for name, place in zip(skeleton.keypoint_names, places, strict=True) if place is None]
    if len(missing) == len(places):
        raise InputError(f"{pose_file.path}: none of its keypoints ({', '.join(own)}) is one of the model's")
    notes = pose_file.notes
    if missing and not pose_file.is_mpii:
        found = f"{len(places) - len(missing)} of the model's {len(places)} keypoints found by name"
        notes = (*notes, f"{found}; unlabelled: {', '.join(missing)}")
    rows = [_moved(row, places) for row in pose_file.annotations]
    return replace(pose_file, annotations=rows, skeleton=skeleton, notes=notes)


def check_layout(pose_file: PoseFile, model_name: str, predicted: int) -> tuple[str, ...]:
    """Raise InputError unless the file has as many keypoints as the model predicts, and in the model's order.

    The order can be told where the names are COCO's 17 or MPII's 16, which models of that number have. Returns what to
    note where other names make it unlikely that the model was trained on these keypoints.
    """
    found, path = pose_file.skeleton, pose_file.path
    if found.num_keypoints != predicted:
        raise InputError(
            f"{path}: has {found.num_keypoints} keypoints and {model_name} predicts {predicted}; match keypoints by "
            "their names (--by-name), or use a model of the same number (of ours by "
            f"--set num_keypoints={found.num_keypoints}, with its weights)"
        )
    usual = known_skeleton(predicted)
    if usual is None or found.keypoint_names == usual.keypoint_names:
        return ()
    if set(found.keypoint_names) == set(usual.keypoint_names):
        raise InputError(
            f"{path}: has the keypoints of {model_name} in another order; match them by their names (--by-name)"
        )
    same = sum(own == other for own, other in zip(found.keypoint_names, usual.keypoint_names, strict=True))
    models = "COCO" if predicted == len(COCO_CATEGORY["keypoints"]) else "MPII"
    return (
        f"{same} of {predicted} keypoints are those of models for {models}; others are right only for weights "
        "trained on this layout",
    )


def _moved(row: dict[str, Any], places: list[int | None]) -> dict[str, Any]:
    if "keypoints" not in row:
        return row
    old = row["keypoints"]
    new = [value for at in places for value in ([0, 0, 0] if at is None else old[3 * at : 3 * at + 3])]
    return {**row, "keypoints": new, "num_keypoints": sum(visible > 0 for visible in new[2::3])}


def load_detections(
    path: Path, pose_file: PoseFile, findings: Findings | None = None
) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a COCO detections file for the keypoint category, each with its number in the file.

    Rows of other categories are left out. Raises InputError for a row whose category, image, box or score is missing or
    no number, for an image that the annotations do not have, a negative side, where no row is left, and for boxes in
    shares of the picture.
    """
    findings = findings or Findings()
    kept = []
    for number, row in enumerate(read_rows(path, "detections (image_id, category_id, bbox, score)")):
        try:
            if (taken := _detection(row, f"{path}: [{number}]", pose_file)) is not None:
                kept.append((number, taken))
        except Fault as fault:
            findings.fault(fault.kind, f"[{number}]", fault.line)
    if not kept:
        line = f"{path}: holds no detection of category {pose_file.category_id}"
        findings.fault("no detection of the keypoint category, so that evaluate stops", str(path), line)
    check_unit(path, [row["bbox"] for _, row in kept], "detections")
    return kept


def _detection(row: dict[str, Any], where: str, pose_file: PoseFile) -> dict[str, Any] | None:
    """Check a detection; None for one of another category. Raises Fault for one that does not work."""
    if row.get("category_id") is None:
        line = f"{where}.category_id is missing; give every detection one, {pose_file.category_id} for people"
        raise Fault("detection without category_id", line)
    category_id = category_of(
        row["category_id"], pose_file.category_id, "detection whose category is no number", f"{where}.category_id"
    )
    if category_id != pose_file.category_id:
        return None
    image_id = row.get("image_id")
    if not is_whole(image_id) or int(image_id) not in pose_file.images:
        line = f"{where}.image_id {image_id!r} is not an image of {pose_file.path}; use the detections of that split"
        raise Fault("detections for another split", line)
    check_numbers(row.get("bbox"), 4, f"{where}.bbox", "detection without a box of four numbers")
    if min(row["bbox"][2:]) < 0:
        line = f"{where}.bbox {row['bbox']}: width and height (its last two) cannot be negative"
        raise Fault("detection with a negative width or height", line)
    check_numbers([row.get("score")], 1, f"{where}.score", "detection without a finite score")
    return {**row, "image_id": int(image_id), "category_id": category_id}


def _names_people(categories: object) -> bool:
    """Return whether these are COCO's categories, as a file without annotations lists them."""
    own = {"id": COCO_CATEGORY["id"], "name": COCO_CATEGORY["name"]}
    return isinstance(categories, list) and any(
        isinstance(row, dict) and own.items() <= row.items() for row in categories
    )


def _keypoint_category(path: Path, categories: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """Return the category with keypoints that is meant. Raises InputError where there is not exactly one."""
    with_keypoints = [category for category in categories if category.get("keypoints")]
    names = [str(category.get("name")) for category in with_keypoints]
    wanted = name or ("person" if len(with_keypoints) > 1 else None)
    chosen = [one for one in with_keypoints if wanted is None or one.get("name") == wanted]
    if len(chosen) != 1:
        there = f"there are {', '.join(names)}; choose one with --category" if names else "there is none"
        raise InputError(
            f"{path}: categories must hold exactly one category with keypoint names"
            f"{f' called {name!r}' if name else ' (or one named person)'}; {there}"
        )
    if not is_whole(chosen[0].get("id")):
        raise InputError(f"{path}: categories[].id must be an integer, not {chosen[0].get('id')!r}")
    return {**chosen[0], "id": int(chosen[0]["id"])}


def _images(path: Path, rows: list[dict[str, Any]], findings: Findings) -> dict[int, ImageEntry]:
    images: dict[int, ImageEntry] = {}
    names: set[str] = set()
    for number, row in enumerate(rows):
        where = f"images[{number}]"
        image_id, name = row.get("id"), row.get("file_name")
        sides = [0 if row.get(side) is None else row[side] for side in ("height", "width")]
        if not is_whole(image_id) or int(image_id) in images:
            kind = "image id twice" if is_whole(image_id) else "image id that is no whole number"
            line = f"{path}: {where}.id must be an integer that no other image has, not {image_id!r}"
            findings.fault(kind, str(image_id), line)
        elif not isinstance(name, str) or not is_inside(name):
            line = f"{path}: {where}.file_name must be a path inside the images folder, not {name!r}"
            findings.fault("file name that leaves the images folder", repr(name), line)
        elif not all(is_whole(side) and side >= 0 for side in sides):
            line = f"{path}: {where}: height and width must be positive integers, not {sides[0]!r} and {sides[1]!r}"
            findings.fault("image whose height or width is no positive whole number", where, line)
        else:
            if name in names:
                findings.loss("image file twice", name)
            names.add(name)
            images[int(image_id)] = ImageEntry(name, int(sides[0]), int(sides[1]))
    return images
