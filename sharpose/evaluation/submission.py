"""Results on images whose annotations are withheld, packed as COCO's evaluation server wants them.

The server takes few uploads, so mistakes are found here: everything is checked before a byte is written.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpose.data.annotations import PoseFile, read_json
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of, write_atomically, write_json

# what the server counts per image; more are no mistake, but they are not looked at
COUNTED_PER_IMAGE = 20
# in a zip file the time of writing would make equal results unequal
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Submission:
    """A file ready to be uploaded, and how much is in it."""

    path: Path
    sha256: str
    results: int
    images: int
    images_without_results: int
    images_beyond_counted: int


def check_submission(results: Sequence[Any], info: PoseFile) -> None:
    """Raise InputError at the first result that the server would refuse, or that is not of these images."""
    if not results:
        raise InputError("there are no results to submit")
    length = 3 * info.skeleton.num_keypoints
    for number, row in enumerate(results):
        where = f"results[{number}]"
        if not isinstance(row, dict):
            raise InputError(f"{where} must be an object, not a {type(row).__name__}")
        if not _is_int(row.get("image_id")) or row["image_id"] not in info.images:
            raise InputError(f"{where}.image_id {row.get('image_id')!r} is not an image of {info.path}")
        if row.get("category_id") != info.category_id:
            raise InputError(f"{where}.category_id {row.get('category_id')!r} must be {info.category_id}")
        keypoints = row.get("keypoints")
        if not isinstance(keypoints, list) or len(keypoints) != length or not all(map(_is_finite, keypoints)):
            raise InputError(f"{where}.keypoints must be {length} finite numbers: x, y and score of every keypoint")
        if not _is_finite(row.get("score")):
            raise InputError(f"{where}.score must be a finite number, not {row.get('score')!r}")


def write_submission(results: Sequence[dict[str, Any]], info: PoseFile, algorithm: str, folder: Path) -> Submission:
    """Write `person_keypoints_<split>_<algorithm>_results.zip` with the JSON file of the same name in it.

    The split is read from the name of the image info file. Equal results give equal bytes. Raises InputError.
    """
    if not re.fullmatch(r"[A-Za-z0-9.-]+", algorithm):
        raise InputError(
            f"--name {algorithm!r} does not work: letters, digits, dots and hyphens make part of a file name"
        )
    check_submission(results, info)
    stem = f"person_keypoints_{split_of(info.path)}_{algorithm}_results"
    path = folder / f"{stem}.zip"
    keys = ("image_id", "category_id", "keypoints", "score")
    content = json.dumps([{key: row[key] for key in keys} for row in results], separators=(",", ":"))
    write_atomically(path, lambda temporary: _zip(temporary, f"{stem}.json", content))
    counts: dict[int, int] = {}
    for row in results:
        counts[row["image_id"]] = counts.get(row["image_id"], 0) + 1
    beyond = sum(count > COUNTED_PER_IMAGE for count in counts.values())
    return Submission(path, sha256_of(path), len(results), len(info.images), len(info.images) - len(counts), beyond)


def withhold(annotations: Path, split: str, folder: Path) -> Path:
    """Write `image_info_<split>.json` in `folder`: what COCO gives of a test split, images and names of categories."""
    content = read_json(annotations)
    categories = [
        {key: row[key] for key in ("id", "name", "supercategory") if key in row} for row in content["categories"]
    ]
    path = folder / f"image_info_{split}.json"
    write_json(path, {"images": content["images"], "categories": categories})
    return path


def read_submission(path: Path) -> list[dict[str, Any]]:
    """The results in a submission, as a server reads them. Raises InputError where it is not one JSON file in a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            results: list[dict[str, Any]] = json.loads(archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a submission, which is one JSON file in a zip ({error})") from None
    return results


def split_of(image_info: Path) -> str:
    """`test-dev2017` of `image_info_test-dev2017.json`; also of a keypoint annotations file. Raises InputError."""
    named = re.fullmatch(r"(?:image_info|person_keypoints)_([a-z-]+\d{4})", image_info.stem)
    if named is None:
        raise InputError(
            f"{image_info}: name it as COCO does, e.g. image_info_test-dev2017.json, to say which split it is"
        )
    return named[1]


def _zip(path: Path, name: str, content: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name, _NO_TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, content)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
