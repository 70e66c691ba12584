"""What travels to a machine and back, as numbered parts that fit a transfer.

Photographs made small on the way there, what was made on the way back.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.torch import save

from sharpose.data.annotations import read_json
from sharpose.data.images import read_image
from sharpose.data.photos import PHOTO_SETS, PhotoSource, photos_folder
from sharpose.pose.geometry import box_to_center_scale
from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.files import check_folder, sha256_of, write_json
from sharpose.weights.starting import read_start

LEARNT_FROM, JUDGED_BY = "photos-train", ("photos-val", "photos-coco")
"""Sets whose photographs are cut and made small, and sets that travel as they are, so that their figures hold."""
LIST = "parcel.json"


@dataclass(frozen=True)
class Packing:
    """How photographs to learn from are made small.

    A piece of `margin` times each person's box, its longer side at most `longest` pixels, as JPEG of a `quality`; parts
    of at most `part_mb` MiB. most: so many pictures of a source; None: all.
    """

    margin: float = 1.8
    longest: int = 288
    quality: int = 70
    part_mb: float = 45
    most: int | None = None


def pack(out: Path, start: Path | None = None, packing: Packing = Packing()) -> list[Path]:
    """Write the named sets of photographs, and the `start` to train from in half precision, as parts into `out`.

    Unpacked, the folder is what SHARPOSE_PHOTOS names. Raises InputError where photographs or the start are missing, or
    `out` is not empty.
    """
    folder = photos_folder()
    if start is not None and not start.is_file():
        raise InputError(f"{start}: no such file to start from")
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    with parcel(out, packing.part_mb) as tar:
        for source in PHOTO_SETS[LEARNT_FROM]:
            for name, content in small(folder, source, packing):
                add(tar, name, content)
        for source in (source for name in JUDGED_BY for source in PHOTO_SETS[name]):
            tar.add(folder / source.annotations, source.annotations)
            for row in read_json(folder / source.annotations)["images"]:
                name = f"{source.images}/{row['file_name']}"
                tar.add(folder / name, name)
        if start is not None:
            add(tar, "start.safetensors", save({name: value.half() for name, value in read_start(start).items()}))
    return sorted(out.iterdir())


def small(folder: Path, source: PhotoSource, packing: Packing) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures of a source, cut to their people and made small, then the annotations that fit them; by path.

    Raises InputError where one cannot be written as JPEG.
    """
    file = read_json(folder / source.annotations)
    people: dict[int, list[dict[str, Any]]] = {}
    for row in file["annotations"]:
        people.setdefault(row["image_id"], []).append(row)
    images = [row for row in file["images"] if row["id"] in people][: packing.most]
    for row in images:
        picture = read_image(folder / source.images / row["file_name"], None)
        height, width = picture.shape[:2]
        boxes = np.array([person["bbox"] for person in people[row["id"]]], dtype=np.float64)
        left, top, right, bottom = around(boxes, width, height, packing.margin)
        factor = min(1.0, packing.longest / max(right - left, bottom - top))
        size = max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor))
        piece = cv2.resize(picture[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        # the size is a whole number, so the two factors differ a little
        factors = np.array(size) / (right - left, bottom - top)
        for person in people[row["id"]]:
            move(person, np.array([left, top]), factors)
        row["file_name"] = str(Path(row["file_name"]).with_suffix(".jpg"))
        row["width"], row["height"] = size
        done, encoded = cv2.imencode(".jpg", piece[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, packing.quality])
        if not done:
            raise InputError(f"{folder / source.images / row['file_name']}: cannot be written as JPEG")
        yield f"{source.images}/{row['file_name']}", encoded.tobytes()
    file["images"], file["annotations"] = images, [person for row in images for person in people[row["id"]]]
    yield source.annotations, json.dumps(file, separators=(",", ":")).encode()


def around(boxes: np.ndarray, width: int, height: int, margin: float) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom (whole pixels, in the picture) around every box enlarged `margin` times."""
    center, scale = box_to_center_scale(boxes, (4, 3), margin)
    left, top = np.floor((center - scale / 2).min(axis=0))
    right, bottom = np.ceil((center + scale / 2).max(axis=0))
    inside = int(np.clip(left, 0, width - 1)), int(np.clip(top, 0, height - 1))
    return *inside, int(np.clip(right, inside[0] + 1, width)), int(np.clip(bottom, inside[1] + 1, height))


def move(person: dict[str, Any], corner: np.ndarray, factors: np.ndarray) -> None:
    """Change a person's annotation to a piece that begins at `corner` and is resized; pixel centres go to centres.

    `corner` and `factors` are (x, y), the former in pixels.
    """
    x, y, *sides = person["bbox"]
    start = ((np.array([x, y]) - corner) * factors).round(2)
    person["bbox"] = [*start.tolist(), *(np.array(sides) * factors).round(2).tolist()]
    points = np.array(person["keypoints"], dtype=np.float64).reshape(-1, 3)
    moved = (points[:, :2] - corner + 0.5) * factors - 0.5
    points[:, :2] = np.where(points[:, 2:] > 0, moved.round(2), 0)
    person["keypoints"] = points.ravel().tolist()
    if "area" in person:
        person["area"] = round(float(person["area"] * factors.prod()), 2)


def unpack(parts: Path, to: Path) -> Path:
    """Put the content of the parts in a folder into `to`; do nothing where that has been done.

    Raises InputError naming the parts that are missing or damaged.
    """
    listed = read_list(parts)
    stamp = to / LIST
    if stamp.is_file() and read_json(stamp) == listed:
        return to
    missing = [name for name in listed["parts"] if not (parts / name).is_file()]
    if missing:
        raise InputError(f"{parts}: {', '.join(missing)} of {len(listed['parts'])} parts are missing; bring them too")
    for name, digest in listed["parts"].items():
        if sha256_of(parts / name) != digest:
            raise InputError(f"{parts / name}: not the part that {LIST} lists, or damaged; bring it again")
    to.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile() as whole:
            for name in listed["parts"]:
                with (parts / name).open("rb") as part:
                    shutil.copyfileobj(part, whole)
            whole.seek(0)
            with tarfile.open(fileobj=whole) as tar:
                tar.extractall(to, filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{parts}: cannot be unpacked into {to} ({first_line(error)})") from error
    write_json(stamp, listed)
    return to


def read_list(parts: Path) -> dict[str, Any]:
    """Return the list of a parcel's parts with their sha256. Raises InputError where it is none."""
    listed = read_json(parts / LIST)
    if not isinstance(listed, dict) or not isinstance(listed.get("parts"), dict):
        raise InputError(f"{parts / LIST}: is not the list of a parcel's parts; pack again")
    return listed


SENT = "sent.json"


def collect(made: Path, out: Path, limit_mb: float = 60, part_mb: float = 15) -> list[str]:
    """Put what a GPU has made and what has not been sent yet, the small and the worthiest first, into `out`.

    `limit_mb`: of all parts together. Returns the names of what stays for the next call. Raises InputError where `out`
    is not empty.
    """
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    sent: dict[str, str] = read_json(made / SENT) if (made / SENT).is_file() else {}
    digests = {path.relative_to(made).as_posix(): sha256_of(path) for path in worth_sending(made)}
    left, room = [], limit_mb * 2**20 - 2**16
    with parcel(out, part_mb) as tar:
        for name, digest in digests.items():
            size = (made / name).stat().st_size + 2048
            if sent.get(name) == digest:
                continue
            if size > room:
                left.append(name)
                continue
            room -= size
            tar.add(made / name, name)
            sent[name] = digest
    write_json(made / SENT, sent)
    return left


def worth_sending(made: Path) -> list[Path]:
    """Return the files of a folder that are sent back, in the order of their worth.

    The log, records and manifests, weights in the order in which they were made, then the newest checkpoints of races,
    whose small models go on from them on another machine.
    """
    files = [path for path in sorted(made.rglob("*")) if path.is_file() and path.name != SENT]
    own = [path for path in files if "step-" not in path.parent.name]
    told = [path for path in own if path.suffix in (".log", ".json")]
    weights = [path for path in own if path.suffix == ".safetensors"]
    runs = sorted({path.parent.parent for path in made.glob("races/*/*/step-*/*")})
    checkpoints = [path for run in runs for path in sorted(max(run.glob("step-*")).iterdir())]
    return told + sorted(weights, key=lambda path: path.stat().st_mtime) + checkpoints


@contextmanager
def parcel(out: Path, part_mb: float) -> Iterator[tarfile.TarFile]:
    """Open a tar file to be cut into numbered parts and listed once complete; nothing is left of one that fails."""
    with tempfile.TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w:gz", compresslevel=6) as tar:
            yield tar
        whole.seek(0)
        digests: dict[str, str] = {}
        while content := whole.read(int(part_mb * 2**20)):
            path = out / f"parcel.{len(digests) + 1:03d}"
            path.write_bytes(content)
            digests[path.name] = sha256_of(path)
    write_json(out / LIST, {"parts": digests})


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to a tar from memory."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
