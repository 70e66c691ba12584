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
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from sharpose.data.mpii import is_mpii, mpii_as_coco
from sharpose.data.people import compacted
from sharpose.pose.skeleton import COCO_CATEGORY, Skeleton, known_skeleton
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import read_text

LARGEST = 1e30
# what file systems take
MAX_NAME, MAX_PATH = 255, 4000
# ten times the largest file of COCO
MAX_JSON_BYTES = 4 * 2**30
EXAMPLES = 3
BEYOND = "boxes reach beyond their image; cut at its borders"
APART = "people whose labelled keypoints all lie outside their box"
CORNERS = "boxes reach beyond their image, as if they were corners (x1 y1 x2 y2); cut at its borders"


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One row of `images`; height and width are 0 where the file does not give them."""

    file_name: str
    height: int
    width: int


@dataclass
class Findings:
    """What reading found, as kind to the places where.

    faults: what no command accepts; where they are not `collected`, the first one is raised. losses: rules by which
    rows are left out or their numbers are not taken. remarks: rules that take nothing away. rows: annotations in the
    file, of any category.
    """

    collected: bool = False
    rows: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)
    losses: dict[str, list[str]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, kind: str, place: str, line: str) -> None:
        """Raise InputError(line), or note the place."""
        if not self.collected:
            raise InputError(line)
        self.faults.setdefault(kind, []).append(place)

    def loss(self, kind: str, place: str) -> None:
        """Note a rule by which rows are left out or numbers not taken, and the place."""
        self.losses.setdefault(kind, []).append(place)

    def remark(self, kind: str, place: str) -> None:
        """Note a rule that takes nothing away, and the place."""
        self.remarks.setdefault(kind, []).append(place)

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each rule that was applied."""
        return tuple(counted(kind, places) for kind, places in {**self.losses, **self.remarks}.items())


def counted(kind: str, places: list[str]) -> str:
    """How often, what, and the first places; what concerns the whole file has none."""
    if not places:
        return kind
    more = "; …" if len(places) > EXAMPLES else ""
    return f"{len(places)} {kind}: {'; '.join(places[:EXAMPLES])}{more}"


@dataclass(frozen=True)
class PoseFile:
    """A checked keypoint annotation file: images by id, the rows of its keypoint category and their layout.

    Rows have integers as ids, `iscrowd` 0 or 1, and, but for crowds, `keypoints`, `num_keypoints` and `area` by the
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

    Raises InputError for a file that is missing, not text or cut off.
    """
    text = read_text(path, MAX_JSON_BYTES, "the JSON file")
    try:
        return json.loads(text, object_hook=change)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not valid JSON at line {error.lineno} ({error.msg}); broken or cut off, fetch it again"
        ) from None
    # numbers of thousands of digits, and brackets by the thousand
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]}); fetch it again") from None


def load_pose_file(
    path: Path, skeleton: Skeleton | None = None, category: str | None = None, findings: Findings | None = None
) -> PoseFile:
    """Read and check a keypoint file in COCO's or MPII's layout.

    skeleton: replaces its category's layout (same number of keypoints). category: the name of the keypoint category,
    where there are several and none is `person`, or another is meant. findings: where faults are to be collected.
    Raises InputError at the first fault, unless they are collected.
    """
    content = read_json(path, compacted)
    if is_mpii(content):
        if category is not None:
            raise InputError(f"{path}: --category {category}: only goes with annotations in COCO's layout")
        content = mpii_as_coco(content, path)
        return replace(parse_pose_file(content, path, skeleton, findings=findings), is_mpii=True, notes=())
    return parse_pose_file(content, path, skeleton, category, findings)


def parse_pose_file(
    data: Any,
    path: Path,
    skeleton: Skeleton | None = None,
    category: str | None = None,
    findings: Findings | None = None,
) -> PoseFile:
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
        if not isinstance(data.get(key), list) or not all(isinstance(row, dict) for row in data[key]):
            raise InputError(f"{path}: {key} must be a list of objects; is this a COCO keypoint annotation file?")
    findings = findings or Findings()
    chosen = _keypoint_category(path, data["categories"], category)
    layout = _layout(path, chosen, skeleton)
    images = _images(path, data["images"], findings)
    reader = _RowReader(path, images, layout, data["categories"], chosen["id"], findings)
    rows = [row for row in map(reader.read, data["annotations"]) if row is not None]
    findings.rows = len(data["annotations"])
    people = [row["bbox"] for row in rows if not row["iscrowd"] and row["num_keypoints"]]
    _check_unit(path, [box for box in people if min(box[2:]) > 0], "people")
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
            f"{path}: has {found.num_keypoints} keypoints and {model_name} predicts {predicted}; use a model of the "
            f"same number (--set num_keypoints={found.num_keypoints}, with its weights), or match keypoints by their "
            "names (--by-name)"
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
    """The rows of a COCO detections file for the keypoint category, each with its number in the file.

    Rows of other categories are left out. Raises InputError for a row whose category, image, box or score is missing or
    no number, for an image that the annotations do not have, a negative side, where no row is left, and for boxes in
    shares of the picture.
    """
    data = read_json(path)
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise InputError(f"{path}: must be a list of detections (image_id, category_id, bbox, score)")
    findings = findings or Findings()
    kept = []
    for number, row in enumerate(data):
        try:
            if (taken := _detection(row, f"{path}: [{number}]", pose_file)) is not None:
                kept.append((number, taken))
        except _Fault as fault:
            findings.fault(fault.kind, f"[{number}]", fault.line)
    if not kept:
        line = f"{path}: holds no detection of category {pose_file.category_id}"
        findings.fault("no detection of the keypoint category, so that evaluate stops", str(path), line)
    _check_unit(path, [row["bbox"] for _, row in kept], "detections")
    return kept


def _detection(row: dict[str, Any], where: str, pose_file: PoseFile) -> dict[str, Any] | None:
    """Check a detection; None for one of another category. Raises _Fault for one that does not work."""
    if row.get("category_id") is None:
        line = f"{where}.category_id is missing; give every detection one, {pose_file.category_id} for people"
        raise _Fault("detection without category_id", line)
    category_id = _category(
        row["category_id"], pose_file.category_id, "detection whose category is no number", f"{where}.category_id"
    )
    if category_id != pose_file.category_id:
        return None
    image_id = row.get("image_id")
    if not _is_whole(image_id) or int(image_id) not in pose_file.images:
        line = f"{where}.image_id {image_id!r} is not an image of {pose_file.path}; use the detections of that split"
        raise _Fault("detections for another split", line)
    _numbers(row.get("bbox"), 4, f"{where}.bbox", "detection without a box of four numbers")
    if min(row["bbox"][2:]) < 0:
        line = f"{where}.bbox {row['bbox']}: width and height (its last two) cannot be negative"
        raise _Fault("detection with a negative width or height", line)
    _numbers([row.get("score")], 1, f"{where}.score", "detection without a finite score")
    return {**row, "image_id": int(image_id), "category_id": category_id}


def _names_people(categories: object) -> bool:
    """Whether these are COCO's categories, as a file without annotations lists them."""
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
    if not _is_whole(chosen[0].get("id")):
        raise InputError(f"{path}: categories[].id must be an integer, not {chosen[0].get('id')!r}")
    return {**chosen[0], "id": int(chosen[0]["id"])}


def _layout(path: Path, category: dict[str, Any], skeleton: Skeleton | None) -> Skeleton:
    """Return the keypoint layout. Raises InputError where it cannot be used, or `skeleton` has another number."""
    try:
        own = Skeleton.from_category(category)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if skeleton is not None and skeleton.num_keypoints != own.num_keypoints:
        raise InputError(f"{path}: has {own.num_keypoints} keypoints, the given skeleton {skeleton.num_keypoints}")
    return skeleton or own


def _images(path: Path, rows: list[dict[str, Any]], findings: Findings) -> dict[int, ImageEntry]:
    images: dict[int, ImageEntry] = {}
    names: set[str] = set()
    for number, row in enumerate(rows):
        where = f"images[{number}]"
        image_id, name = row.get("id"), row.get("file_name")
        sides = [0 if row.get(side) is None else row[side] for side in ("height", "width")]
        if not _is_whole(image_id) or int(image_id) in images:
            kind = "image id twice" if _is_whole(image_id) else "image id that is no whole number"
            line = f"{path}: {where}.id must be an integer that no other image has, not {image_id!r}"
            findings.fault(kind, str(image_id), line)
        elif not isinstance(name, str) or not _is_inside(name):
            line = f"{path}: {where}.file_name must be a path inside the images folder, not {name!r}"
            findings.fault("file name that leaves the images folder", repr(name), line)
        elif not all(_is_whole(side) and side >= 0 for side in sides):
            line = f"{path}: {where}: height and width must be positive integers, not {sides[0]!r} and {sides[1]!r}"
            findings.fault("image whose height or width is no positive whole number", where, line)
        else:
            if name in names:
                findings.loss("image file twice", name)
            names.add(name)
            images[int(image_id)] = ImageEntry(name, int(sides[0]), int(sides[1]))
    return images


class _Fault(Exception):
    """One row's fault: its kind, for the doctor's count, and the line for everybody else."""

    def __init__(self, kind: str, line: str) -> None:
        super().__init__(line)
        self.kind, self.line = kind, line


class _RowReader:
    """Checks annotations one by one, and puts the rules of this file to them."""

    def __init__(
        self,
        path: Path,
        images: dict[int, ImageEntry],
        layout: Skeleton,
        categories: list[dict[str, Any]],
        category_id: int,
        findings: Findings,
    ) -> None:
        self.path, self.images, self.layout, self.findings = path, images, layout, findings
        self.category_id = category_id
        self.categories = {row["id"]: row.get("name") for row in categories if _is_whole(row.get("id"))}
        self.seen: set[int] = set()

    def read(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The row by the rules; None for one that is left out, or whose fault was collected."""
        place = f"annotation {row.get('id')!r}"
        try:
            return self._read(row, place, f"{self.path}: {place}")
        except _Fault as fault:
            self.findings.fault(fault.kind, place, fault.line)
            return None

    def _read(self, row: dict[str, Any], place: str, where: str) -> dict[str, Any] | None:
        """Check an annotation; None for one of another category. Raises _Fault at the first field that is wrong."""
        category_id = self.category_id
        if row.get("category_id") is not None:
            category_id = _category(
                row["category_id"], self.category_id, "category_id that is no number", f"{where}: category_id"
            )
        if category_id != self.category_id:
            self._other_category(row, category_id, place)
            return None
        if not _is_whole(row.get("id")) or row["id"] < 0:
            raise _Fault("annotation id that is no whole number", f"{where}: id must be a non-negative integer")
        number = int(row["id"])
        if number in self.seen:
            raise _Fault("annotation id twice", f"{where}: id is that of another annotation too")
        self.seen.add(number)
        if not _is_whole(row.get("image_id")) or int(row["image_id"]) not in self.images:
            line = f"{where}: image_id {row.get('image_id')!r} is not among images"
            raise _Fault("annotation of no image", line)
        image = self.images[int(row["image_id"])]
        _numbers(row.get("bbox"), 4, f"{where}: bbox", "box that is not four finite numbers")
        crowd = row.get("iscrowd")
        if crowd is not None and not (isinstance(crowd, int | float) and crowd in (0, 1)):
            raise _Fault("iscrowd that is neither 0 nor 1", f"{where}: iscrowd {crowd!r} must be 0 or 1")
        read = {**row, "id": number, "image_id": int(row["image_id"]), "category_id": category_id}
        read |= {"iscrowd": int(crowd or 0)}
        points = row.get("keypoints")
        if points is None and not read["iscrowd"]:
            kind = "person without a keypoints field"
            raise _Fault(kind, f"{where}: keypoints must be a list of {3 * self.layout.num_keypoints} numbers")
        if points is not None:
            _numbers(points, 3 * self.layout.num_keypoints, f"{where}: keypoints", "keypoint that is no finite number")
            read["num_keypoints"] = sum(v > 0 for v in points[2::3])
            if any(v not in (0, 1, 2) for v in points[2::3]):
                plain = [2 if v > 0 else 0 for v in points[2::3]]
                read["keypoints"] = [n for at, v in enumerate(plain) for n in (*points[3 * at : 3 * at + 2], v)]
                self.findings.loss("people with a visibility other than 0, 1, 2; above 0 is labelled", place)
        stated = row.get("num_keypoints")
        if stated is not None and not _is_whole(stated):
            line = f"{where}: num_keypoints must be an integer, not {stated!r}"
            raise _Fault("num_keypoints that is no whole number", line)
        read["area"] = self._area(row, read, place, where)
        if not read["iscrowd"]:
            self._look_at(read, stated, image, place)
        return read

    def _area(self, row: dict[str, Any], read: dict[str, Any], place: str, where: str) -> float:
        """Return the area in square pixels, the box's where people have none. Raises _Fault for one that is no area."""
        area, labelled = row.get("area"), not read["iscrowd"] and read["num_keypoints"]
        if area is not None:
            _numbers([area], 1, f"{where}: area", "area that is no finite number")
            if area < 0:
                raise _Fault("negative area", f"{where}: area {area!r} cannot be negative")
            if area > 0 or not labelled:
                return area
            self.findings.loss(
                "people whose area is 0, for which the box's is taken, so that AP is not comparable with COCO's", place
            )
        elif labelled:
            kind = "people without an area, for which the box's is taken, so that AP is not comparable with COCO's"
            self.findings.remark(kind, place)
        return row["bbox"][2] * row["bbox"][3]

    def _other_category(self, row: dict[str, Any], category_id: int, place: str) -> None:
        points = row.get("keypoints")
        if category_id not in self.categories:
            self.findings.loss("annotations of an unknown category left out", f"{place} of category {category_id}")
        elif isinstance(points, list | array) and any(isinstance(v, int | float) and v > 0 for v in points[2::3]):
            kind = f"annotations with keypoints left out, as they are of category {self.categories[category_id]!r}"
            self.findings.loss(f"{kind} (choose with --category)", place)

    def _look_at(self, row: dict[str, Any], stated: Any, image: ImageEntry, place: str) -> None:
        """Note what in a person contradicts itself, or the image."""
        note, points = self.findings.loss, row["keypoints"]
        if stated is not None and stated != row["num_keypoints"]:
            note("people whose num_keypoints differs from the labelled keypoints, which count", place)
        if not row["num_keypoints"]:
            return
        x, y, width, height = row["bbox"]
        if min(width, height) <= 0:
            note("people left out: box without area", place)
            return
        if min(clip_box(row["bbox"], image)[2:]) <= 0:
            tiny = "of one pixel or less" if min(width, height) <= 1 else "outside its image"
            note(f"people left out: box {tiny}", place)
            return
        found = [(points[i], points[i + 1]) for i in range(0, len(points), 3) if points[i + 2] > 0]
        if image.height and image.width:
            # a label on the last pixel may be rounded up
            if not all(-1 <= a <= image.width + 1 and -1 <= b <= image.height + 1 for a, b in found):
                note("people with labelled keypoints outside their image", place)
            if x < -1 or y < -1 or x + width > image.width + 1 or y + height > image.height + 1:
                corners = x < width <= image.width + 1 and y < height <= image.height + 1
                self.findings.remark(CORNERS if corners else BEYOND, place)
        if not any(x - 1 <= a <= x + width + 1 and y - 1 <= b <= y + height + 1 for a, b in found):
            note(APART, place)


def _check_unit(path: Path, boxes: list[list[float]], whose: str) -> None:
    """Raise InputError where all boxes (x, y, width, height) look like shares of the picture."""
    if boxes and all(min(x, y) >= 0 and x + w <= 1.001 and y + h <= 1.001 for x, y, w, h in boxes):
        raise InputError(
            f"{path}: all {len(boxes)} boxes of {whose} lie within 1 x 1 pixel, so its coordinates seem to be shares "
            "of the picture; multiply them by its width and height"
        )


def clip_box(bbox_xywh: list[float], image: ImageEntry) -> tuple[float, float, float, float]:
    """The box cut at the image's borders, as last pixel minus first pixel; unchanged where the size is not known.

    Width or height is not above 0 where nothing of it lies inside.
    """
    x, y, width, height = bbox_xywh
    if not (image.height and image.width):
        return x, y, width, height
    left, top = max(0.0, x), max(0.0, y)
    right = min(image.width - 1, x + max(0.0, width - 1))
    bottom = min(image.height - 1, y + max(0.0, height - 1))
    return left, top, right - left, bottom - top


def _is_inside(name: str) -> bool:
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        return False
    try:
        return all(len(os.fsencode(part)) <= MAX_NAME for part in Path(name).parts) and len(name) <= MAX_PATH
    except UnicodeEncodeError:
        return False


def _is_whole(value: object) -> TypeGuard[int | float]:
    """Whether this is a whole number, also written 1.0, that fits into 64 bits, as ids and sizes must."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return False
    return isinstance(value, int) or value.is_integer()


def _category(value: object, wanted: int, kind: str, where: str) -> int:
    """Return a category id as a whole number. Raises _Fault for anything else."""
    if not _is_whole(value):
        text = ", not text" if isinstance(value, str) else ""
        raise _Fault(kind, f"{where} {value!r} must be a whole number{text}; the keypoint category is {wanted}")
    return int(value)


def _numbers(values: object, count: int, where: str, kind: str) -> None:
    """Raise _Fault for anything but a list of `count` finite numbers."""
    if not isinstance(values, list | array) or len(values) != count:
        raise _Fault(
            "wrong number of keypoints" if "keypoint" in kind else kind, f"{where} must be a list of {count} numbers"
        )
    # which holds small whole numbers alone
    for value in () if isinstance(values, array) else values:
        # a whole number of hundreds of digits is finite, and no number to calculate with
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise _Fault(kind, f"{where} holds {value!r}; every value must be a finite number")
