"""Results on images whose annotations are withheld, packed as COCO's evaluation server wants them.

The server takes few uploads, so mistakes are found here: everything is checked before a byte is written.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpose.data.annotations import PoseFile, read_json
from sharpose.evaluation.metrics.coco_ap import check_results
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


def check_submission(results: Sequence[dict[str, Any]], info: PoseFile) -> None:
    """Raise InputError at the first result that the server would refuse, or that is not of these images."""
    if not results:
        raise InputError("there are no results to submit")
    check_results(results, info)
    for number, row in enumerate(results):
        if row.get("category_id") != info.category_id:
            raise InputError(f"results[{number}].category_id {row.get('category_id')!r} must be {info.category_id}")


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
    counts = Counter(row["image_id"] for row in results)
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
    """Return a submission's results, as a server reads them. Raises InputError unless it is one JSON file in a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            results: list[dict[str, Any]] = json.loads(archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a submission, which is one JSON file in a zip ({error})") from None
    return results


def split_of(image_info: Path) -> str:
    """Return `test-dev2017` of `image_info_test-dev2017.json`; also of keypoint annotations. Raises InputError."""
    named = re.fullmatch(r"(?:image_info|person_keypoints)_([a-z][a-z0-9-]*\d{4})", image_info.stem)
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
