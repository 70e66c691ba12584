"""The rows of a COCO-format file, checked field by field; what reading found goes into `Findings`.

The rules are those of `sharpose.data.annotations`.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from sharpose.pose.skeleton import Skeleton
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import is_number

# what file systems take
MAX_NAME, MAX_PATH = 255, 4000
EXAMPLES = 3
BEYOND = "boxes reach beyond their image; cut at its borders"
APART = "people whose labelled keypoints all lie outside their box"
NO_SHARE = "people whose area is none of their box's (above it, or below a thousandth), so that AP misleads"
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

    def fault(self, kind: str, place: str, line: str = "") -> None:
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
        """Return one line for each rule that was applied."""
        return tuple(counted(kind, places) for kind, places in {**self.losses, **self.remarks}.items())


def counted(kind: str, places: list[str]) -> str:
    """Return how often, what, and the first places; what concerns the whole file has none."""
    if not places:
        return kind
    more = "; …" if len(places) > EXAMPLES else ""
    return f"{len(places)} {kind}: {'; '.join(places[:EXAMPLES])}{more}"


class Fault(Exception):
    """One row's fault: its kind, for the doctor's count, and the line for everybody else."""

    def __init__(self, kind: str, line: str) -> None:
        super().__init__(line)
        self.kind, self.line = kind, line


@dataclass
class RowReader:
    """Checks annotations one by one, and puts the rules of this file to them. categories: their names by id."""

    path: Path
    images: dict[int, ImageEntry]
    layout: Skeleton
    categories: dict[int, Any]
    category_id: int
    findings: Findings
    seen: set[int] = field(default_factory=set)

    def read(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return the row by the rules; None for one that is left out, or whose fault was collected."""
        place = f"annotation {row.get('id')!r}"
        try:
            return self._read(row, place, f"{self.path}: {place}")
        except Fault as fault:
            self.findings.fault(fault.kind, place, fault.line)
            return None

    def _read(self, row: dict[str, Any], place: str, where: str) -> dict[str, Any] | None:
        """Check an annotation; None for one of another category. Raises Fault at the first field that is wrong."""
        category_id = self.category_id
        if row.get("category_id") is not None:
            category_id = category_of(
                row["category_id"], self.category_id, "category_id that is no number", f"{where}: category_id"
            )
        if category_id != self.category_id:
            self._other_category(row, category_id, place)
            return None
        if not is_whole(row.get("id")) or row["id"] < 0:
            raise Fault("annotation id that is no whole number", f"{where}: id must be a non-negative integer")
        number = int(row["id"])
        if number in self.seen:
            raise Fault("annotation id twice", f"{where}: id is that of another annotation too")
        self.seen.add(number)
        if not is_whole(row.get("image_id")) or int(row["image_id"]) not in self.images:
            line = f"{where}: image_id {row.get('image_id')!r} is not among images"
            raise Fault("annotation of no image", line)
        image = self.images[int(row["image_id"])]
        check_numbers(row.get("bbox"), 4, f"{where}: bbox", "box that is not four finite numbers")
        crowd = row.get("iscrowd")
        if crowd is not None and not (isinstance(crowd, int | float) and crowd in (0, 1)):
            raise Fault("iscrowd that is neither 0 nor 1", f"{where}: iscrowd {crowd!r} must be 0 or 1")
        read = {**row, "id": number, "image_id": int(row["image_id"]), "category_id": category_id}
        read |= {"iscrowd": int(crowd or 0)}
        points = row.get("keypoints")
        if points is None and not read["iscrowd"]:
            kind = "person without a keypoints field"
            raise Fault(kind, f"{where}: keypoints must be a list of {3 * self.layout.num_keypoints} numbers")
        if points is not None:
            check_numbers(
                points, 3 * self.layout.num_keypoints, f"{where}: keypoints", "keypoint that is no finite number"
            )
            read["num_keypoints"] = sum(v > 0 for v in points[2::3])
            if any(v not in (0, 1, 2) for v in points[2::3]):
                plain = [2 if v > 0 else 0 for v in points[2::3]]
                read["keypoints"] = [n for at, v in enumerate(plain) for n in (*points[3 * at : 3 * at + 2], v)]
                self.findings.loss("people with a visibility other than 0, 1, 2; above 0 is labelled", place)
        stated = row.get("num_keypoints")
        if stated is not None and not is_whole(stated):
            line = f"{where}: num_keypoints must be an integer, not {stated!r}"
            raise Fault("num_keypoints that is no whole number", line)
        read["area"] = self._area(row, read, place, where)
        if not read["iscrowd"]:
            self._look_at(read, stated, image, place)
        return read

    def _area(self, row: dict[str, Any], read: dict[str, Any], place: str, where: str) -> float:
        """Return the area in square pixels, the box's where people have none. Raises Fault for one that is no area."""
        area, labelled = row.get("area"), not read["iscrowd"] and read["num_keypoints"]
        if area is not None:
            check_numbers([area], 1, f"{where}: area", "area that is no finite number")
            if area < 0:
                raise Fault("negative area", f"{where}: area {area!r} cannot be negative")
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
        # polygons and boxes are rounded differently
        if not width * height / 1000 <= row["area"] <= 1.1 * width * height + 1:
            self.findings.remark(NO_SHARE, place)
        if not any(x - 1 <= a <= x + width + 1 and y - 1 <= b <= y + height + 1 for a, b in found):
            note(APART, place)


def check_unit(path: Path, boxes: list[list[float]], whose: str) -> None:
    """Raise InputError where all boxes (x, y, width, height) look like shares of the picture."""
    if boxes and all(min(x, y) >= 0 and x + w <= 1.001 and y + h <= 1.001 for x, y, w, h in boxes):
        raise InputError(
            f"{path}: all {len(boxes)} boxes of {whose} lie within 1 x 1 pixel, so its coordinates seem to be shares "
            "of the picture; multiply them by its width and height"
        )


def clip_box(bbox_xywh: list[float], image: ImageEntry) -> tuple[float, float, float, float]:
    """Return the box cut at the image's borders, as last pixel minus first; unchanged where the size is not known.

    Width or height is not above 0 where nothing of it lies inside.
    """
    x, y, width, height = bbox_xywh
    if not (image.height and image.width):
        return x, y, width, height
    left, top = max(0.0, x), max(0.0, y)
    right = min(image.width - 1, x + max(0.0, width - 1))
    bottom = min(image.height - 1, y + max(0.0, height - 1))
    return left, top, right - left, bottom - top


def is_inside(name: str) -> bool:
    """Return whether a picture's name stays inside the folder that it is looked for in."""
    if not name or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        return False
    try:
        return all(len(os.fsencode(part)) <= MAX_NAME for part in Path(name).parts) and len(name) <= MAX_PATH
    except UnicodeEncodeError:
        return False


def is_whole(value: object) -> TypeGuard[int | float]:
    """Return whether this is a whole number, also written 1.0, that fits into 64 bits, as ids and sizes must."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return False
    return isinstance(value, int) or value.is_integer()


def category_of(value: object, wanted: int, kind: str, where: str) -> int:
    """Return a category id as a whole number. Raises Fault for anything else."""
    if not is_whole(value):
        text = ", not text" if isinstance(value, str) else ""
        raise Fault(kind, f"{where} {value!r} must be a whole number{text}; the keypoint category is {wanted}")
    return int(value)


def check_numbers(values: object, count: int, where: str, kind: str) -> None:
    """Raise Fault for anything but a list of `count` finite numbers."""
    if not isinstance(values, list | array) or len(values) != count:
        raise Fault(
            "wrong number of keypoints" if "keypoint" in kind else kind, f"{where} must be a list of {count} numbers"
        )
    # which holds small whole numbers alone
    for value in () if isinstance(values, array) else values:
        if not is_number(value):
            raise Fault(kind, f"{where} holds {value!r}; every value must be a finite number")
