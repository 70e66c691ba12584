"""Folders in the layouts of other tools, converted once to annotations of ours, which lie in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sharpose.data.cache import cache_dir
from sharpose.data.fiftyone import LABELS, METADATA, PICTURES, SAMPLES, labels_as_coco, samples_as_coco
from sharpose.data.yolo import Yolo, find_yaml, labels_of, pictures, read_yaml, yolo_as_coco
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import write_json
from sharpose.runtime.progress import note

VERSION = 1
"""Of the conversion: another one converts again."""


def split_name(data: str) -> tuple[Path, str | None]:
    """Return `FOLDER:PART` as the folder and its part; a folder whose own name has a colon is itself."""
    folder, colon, part = data.rpartition(":")
    if colon and folder and part and not Path(data).exists():
        return Path(folder), part
    return Path(data), None


def is_folder(data: str) -> bool:
    """Return whether a folder, or a part of one, is meant."""
    return split_name(data)[0].is_dir()


def converted(data: str) -> tuple[Path, Path]:
    """Return annotations in the cache, and the folder of pictures, of `FOLDER` or `FOLDER:PART`.

    A part is a split of YOLO-pose (train, val, test), or a field of FiftyOne's own export. Raises InputError, naming
    file and line or field, for what is neither, or cannot be read.
    """
    folder, part = split_name(data)
    convert: Callable[[], tuple[dict[str, Any], dict[str, int]]]
    if (path := find_yaml(folder)) is not None:
        yolo = read_yaml(path)
        split = chosen_split(yolo, folder, part)
        root = root_of(yolo, folder)
        files, images, convert = [path, *yolo_files(yolo, split)], root, lambda: yolo_as_coco(yolo, split, root)
    elif (folder / LABELS).is_file() and part is None:
        files, images, convert = [folder / LABELS], folder / PICTURES, lambda: labels_as_coco(folder)
    elif (folder / SAMPLES).is_file():
        files, images, convert = [folder / SAMPLES, folder / METADATA], folder, lambda: samples_as_coco(folder, part)
    else:
        raise InputError(
            f"{folder}: no data set is known by these files; a folder has a data.yaml with kpt_shape (YOLO-pose), "
            f"{LABELS} and {PICTURES}/ or {SAMPLES} (FiftyOne), or name an annotations file with --images FOLDER"
        )
    target = cache_dir() / "converted" / f"{fingerprint(files, data)}.json"
    if not target.is_file():
        content, notes = convert()
        write_json(target, content)
        for kind, count in notes.items():
            if count:
                note(f"{folder}: {count} {kind}")
        note(f"{data}: converted to {target}")
    return target, images


def chosen_split(yolo: Yolo, folder: Path, part: str | None) -> str:
    """Return the split that is meant. Raises InputError where several are there and none was named."""
    if part in yolo.splits or (part is None and len(yolo.splits) == 1):
        return part or next(iter(yolo.splits))
    known = ", ".join(yolo.splits)
    what = "has several splits" if part is None else f"has no split {part!r}"
    raise InputError(f"{folder}: {what}; name one of {known}, e.g. --data {folder}:{next(iter(yolo.splits))}")


def root_of(yolo: Yolo, folder: Path) -> Path:
    """Return the folder that holds every picture: the data set's own, or the one that its description names."""
    places = [place.resolve() for split in yolo.splits.values() for place in split]
    inside = all(place.is_relative_to(folder.resolve()) for place in places)
    return folder if inside else Path(os.path.commonpath(places))


def yolo_files(yolo: Yolo, split: str) -> Iterator[Path]:
    """Yield every picture and file of labels of a split."""
    for place in yolo.splits[split]:
        for picture in pictures(place):
            yield from (picture, labels_of(picture))


def fingerprint(files: list[Path], data: str) -> str:
    """Return a name for a state of these files: their paths, sizes and times."""
    state: list[Any] = [VERSION, str(Path(data).resolve())]
    for path in files:
        stat = path.stat() if path.is_file() else None
        state.append([str(path.resolve()), stat and stat.st_size, stat and stat.st_mtime_ns])
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:24]
