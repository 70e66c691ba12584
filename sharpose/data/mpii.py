"""MPII's annotations in the layout that public code reads: centre, scale and 16 joints of one person per row.

Conventions of the official files and their readers: pixels count from 1, `scale` is the person's height over 200, and
`center` lies above the middle, so 15 pixels of a 200-pixel person are added to its y before the square of side
200·scale around it is cropped (padded by 1.25, as boxes of COCO are).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharpose.pose.skeleton import MPII
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import is_number

SCALE_UNIT = 200.0
CENTER_DROP = 15.0
"""How far down the centre moves, in pixels of a person of scale 1."""

CATEGORY: dict[str, Any] = {
    "id": 1,
    "name": "person",
    "keypoints": list(MPII.keypoint_names),
    "skeleton": [[a + 1, b + 1] for a, b in MPII.limbs],
}


def is_mpii(content: Any) -> bool:
    """Return whether parsed JSON is a list of rows in MPII's layout."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "joints" in content[0]


def mpii_as_coco(rows: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """Return the same people in COCO's layout, pixels counted from 0; row i becomes annotation i.

    The box is the square that is cropped, without its padding; an area is not given, so the square's stands for it.
    Sizes of images are not given either, so that boxes are not cut at borders. Raises InputError naming `path`.
    """
    images: dict[str, int] = {}
    annotations = []
    for number, row in enumerate(rows):
        where = f"{path}: [{number}]"
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise InputError(f"{where}.image must be the name of a picture")
        x, y = numbers(row.get("center"), 2, f"{where}.center")
        (scale,) = numbers([row.get("scale")], 1, f"{where}.scale")
        if scale <= 0:
            raise InputError(f"{where}.scale must be a positive number, not {scale!r}")
        side = SCALE_UNIT * scale
        left, top = x - 1 - side / 2, y + CENTER_DROP * scale - 1 - side / 2
        annotations.append(
            {
                "id": number,
                "image_id": images.setdefault(row["image"], len(images) + 1),
                "category_id": CATEGORY["id"],
                "iscrowd": 0,
                "bbox": [left, top, side, side],
                "keypoints": keypoints(row, where),
            }
        )
    return {
        "images": [{"id": image_id, "file_name": name} for name, image_id in images.items()],
        "annotations": annotations,
        "categories": [CATEGORY],
    }


def keypoints(row: dict[str, Any], where: str) -> list[float]:
    """Return x, y and v of the 16 joints; those that are not labelled (`joints_vis` above 0 is) are zeros.

    Raises InputError where there are not 16.
    """
    joints, labelled = row.get("joints", ()), row.get("joints_vis", ())
    if not all(isinstance(values, list) and len(values) == 16 for values in (joints, labelled)):
        raise InputError(f"{where}: joints and joints_vis must be lists of 16")
    points = [numbers(point, 2, f"{where}.joints[{index}]") for index, point in enumerate(joints)]
    seen = numbers(labelled, 16, f"{where}.joints_vis")
    rows = [[x - 1, y - 1, 2] if visible > 0 else [0, 0, 0] for (x, y), visible in zip(points, seen, strict=True)]
    return [value for each in rows for value in each]


def find_truth(annotations: Path) -> Path:
    """Return the ground truth of an annotations file: `mpii_gt_val.mat` or `gt_val.mat` beside `…val.json`.

    Raises InputError where there is none.
    """
    split = annotations.stem.removeprefix("mpii_")
    short = split.removesuffix("id")
    names = dict.fromkeys(f"{prefix}{name}.mat" for name in (split, short) for prefix in ("mpii_gt_", "gt_"))
    for name in names:
        if (annotations.parent / name).is_file():
            return annotations.parent / name
    raise InputError(
        f"{annotations}: PCKh needs MPII's ground truth with head boxes; give it with --ground-truth MAT, "
        f"or put {next(iter(names))} beside the annotations"
    )


def numbers(values: Any, count: int, where: str) -> list[float]:
    """Return a list of `count` finite numbers as it is. Raises InputError, naming `where`, for anything else."""
    if not isinstance(values, list) or len(values) != count or not all(is_number(value) for value in values):
        raise InputError(f"{where} must be {count} finite number{'s' if count > 1 else ''}")
    return values
