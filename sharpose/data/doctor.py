"""A COCO-format keypoint data set looked over as a whole: every fault counted, none raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpose.data.annotations import LARGEST, read_json
from sharpose.data.images import read_image
from sharpose.errors import InputError

EXAMPLES = 3


@dataclass
class Examination:
    """`counts` are facts; `faults` are what is wrong: kind to the places where, in the files' own words."""

    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        return not self.faults

    def blame(self, kind: str, places: Iterable[object]) -> None:
        """Note a fault wherever it occurs; nothing where `places` is empty."""
        if found := [str(place) for place in places]:
            self.faults.setdefault(kind, []).extend(found)

    @property
    def lines(self) -> list[str]:
        facts = [f"{count:8}  {name}" for name, count in self.counts.items()]
        wrong = [
            f"{len(places):8}  WRONG: {kind}: {'; '.join(places[:EXAMPLES])}{'; …' if len(places) > EXAMPLES else ''}"
            for kind, places in self.faults.items()
        ]
        return [*facts, *wrong, "nothing wrong" if self.healthy else f"{len(self.faults)} kinds of faults"]


def examine(
    annotations: Path,
    images: Path | None = None,
    detections: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Look at an annotations file, at every image in `images`, and at whether `detections` belong to them.

    Raises InputError where the annotations file is missing, cut off, or no COCO file at all.
    """
    data = read_json(annotations)
    if not isinstance(data, dict) or not all(is_rows(data.get(key)) for key in ("images", "annotations", "categories")):
        raise InputError(f"{annotations}: no COCO annotations file (images, annotations and categories as lists)")
    found = Examination()
    examine_rows(data, found)
    if images is not None:
        if not images.is_dir():
            raise InputError(f"--images {images}: no such folder")
        examine_images(data["images"], images, found, progress)
    if detections is not None:
        examine_detections(read_json(detections), data, detections, found)
    return found


def is_rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def examine_rows(data: dict[str, Any], found: Examination) -> None:
    """Ids, categories, keypoints and boxes."""
    images, rows, categories = data["images"], data["annotations"], data["categories"]
    keypoints = {str(row.get("id")): len(row.get("keypoints") or []) for row in categories}
    crowds = [row for row in rows if row.get("iscrowd")]
    people = [row for row in rows if not row.get("iscrowd")]
    unlabelled = [row for row in people if not labelled(row)]
    image_ids = {str(row.get("id")) for row in images}
    with_people = {str(row.get("image_id")) for row in people}
    found.counts |= {
        "images": len(images),
        "images without a person": len(image_ids - with_people),
        "annotations": len(rows),
        "crowds": len(crowds),
        "people without labelled keypoints": len(unlabelled),
        "people to train on": len(people) - len(unlabelled),
    }
    found.blame("no category with keypoints", [] if any(keypoints.values()) else ["categories"])
    found.blame("image id twice", twice(row.get("id") for row in images))
    found.blame("image file twice", twice(row.get("file_name") for row in images))
    found.blame("annotation id twice", twice(row.get("id") for row in rows))
    found.blame("unknown category", (name(row) for row in rows if str(row.get("category_id")) not in keypoints))
    found.blame("annotation of no image", (name(row) for row in rows if str(row.get("image_id")) not in image_ids))
    found.blame("person without a keypoints field", (name(row) for row in people if "keypoints" not in row))
    found.blame(
        "wrong number of keypoints",
        (
            name(row)
            for row in people
            if isinstance(row.get("keypoints"), list)
            and len(row["keypoints"]) != 3 * keypoints.get(str(row.get("category_id")), len(row["keypoints"]) / 3)
        ),
    )
    found.blame(
        "keypoint that is no finite number", (name(row) for row in rows if not finite(row.get("keypoints", [])))
    )
    found.blame("box that is not four finite numbers", (name(row) for row in rows if not is_box(row.get("bbox"))))
    boxed = [row for row in people if labelled(row) and is_box(row.get("bbox"))]
    found.blame("box without area", (name(row) for row in boxed if min(row["bbox"][2:]) <= 0))
    sizes = {str(row.get("id")): (row.get("width"), row.get("height")) for row in images}
    beyond = (name(row) for row in boxed if outside(row["bbox"], sizes.get(str(row.get("image_id")))))
    found.blame("box outside its image", beyond)


def examine_images(
    rows: list[dict[str, Any]], folder: Path, found: Examination, progress: Callable[[int, int], None] | None
) -> None:
    """Decode every image: missing, broken, or not of the stated size."""
    for number, row in enumerate(rows, start=1):
        file_name = row.get("file_name")
        if not isinstance(file_name, str) or Path(file_name).is_absolute() or ".." in Path(file_name).parts:
            found.blame("file name that leaves the images folder", [repr(file_name)])
        elif not (folder / file_name).is_file():
            found.blame("missing image", [file_name])
        else:
            examine_image(folder / file_name, row, found)
        if progress is not None:
            progress(number, len(rows))


def examine_image(path: Path, row: dict[str, Any], found: Examination) -> None:
    try:
        height, width = read_image(path).shape[:2]
    except InputError as error:
        found.blame("image that cannot be read", [str(error).removeprefix(f"{path.parent}/")])
        return
    stated = (row.get("width", width), row.get("height", height))
    if stated != (width, height):
        found.blame("wrong size", [f"{path.name} is {width}x{height}, stated {stated[0]}x{stated[1]}"])


def examine_detections(content: Any, data: dict[str, Any], path: Path, found: Examination) -> None:
    """Whether the boxes are of these images and categories."""
    if not is_rows(content):
        raise InputError(f"{path}: must be a list of detections (image_id, category_id, bbox, score)")
    image_ids = {str(row.get("id")) for row in data["images"]}
    categories = {str(row.get("id")) for row in data["categories"]}
    strangers = [row for row in content if str(row.get("image_id")) not in image_ids]
    found.counts |= {
        "detections": len(content),
        "images with detections": len(image_ids & {str(row.get("image_id")) for row in content}),
        "detections of other categories": sum(str(row.get("category_id")) not in categories for row in content),
    }
    if strangers:
        share = f"{len(strangers)} of {len(content)} are of other images, as image_id {strangers[0].get('image_id')}"
        found.blame("detections for another split", [share])
    rows = list(enumerate(content))
    found.blame("detection without a box of four numbers", (f"[{i}]" for i, row in rows if not is_box(row.get("bbox"))))
    negative = (f"[{i}]" for i, row in rows if is_box(row.get("bbox")) and min(row["bbox"][2:]) < 0)
    found.blame("detection with a negative width or height", negative)
    found.blame("detection without a finite score", (f"[{i}]" for i, row in rows if not finite([row.get("score")])))


def name(row: dict[str, Any]) -> str:
    return f"annotation {row.get('id')!r}"


def twice(values: Iterable[object]) -> list[str]:
    return [value for value, count in Counter(map(str, values)).items() if count > 1]


def finite(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST for value in values
    )


def is_box(values: object) -> bool:
    return isinstance(values, list) and len(values) == 4 and finite(values)


def labelled(row: dict[str, Any]) -> bool:
    points = row.get("keypoints")
    return isinstance(points, list) and any(isinstance(v, int | float) and v > 0 for v in points[2::3])


def outside(box: list[float], size: tuple[Any, Any] | None) -> bool:
    """Whether box and image have nothing in common; False where the image's size is not stated."""
    if size is None or not all(isinstance(side, int) and side > 0 for side in size):
        return False
    x, y, width, height = box
    return x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0
