"""From what a user names, a generated set, photographs or files, to annotations and images. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sharpose.data.cache import MPII_SETS, NAMED_SETS, MannequinSet, ensure_mpii, ensure_named
from sharpose.data.folders import converted, is_folder
from sharpose.data.labels import LabelRule
from sharpose.data.photos import PHOTO_SETS, photos_folder
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.runtime.progress import Reporter


@dataclass(frozen=True)
class Source:
    """Annotations, their images folder and identifying digests.

    With how often an epoch shows each person, and what labels count.
    """

    name: str
    annotations: Path
    images: Path
    digests: dict[str, str]
    repeat: int = 1
    labels: LabelRule = field(default_factory=LabelRule)


def is_file(data: str) -> bool:
    """Return whether an annotations file is meant, whose pictures lie elsewhere; also one that is not there."""
    return data not in {*NAMED_SETS, *MPII_SETS, *PHOTO_SETS} and not is_folder(data)


def find_data(data: str, images: Path | None) -> Source:
    """Return the one source behind a name or own annotations. Raises InputError where there is none, or several."""
    sources = find_sources(data, images)
    if len(sources) > 1:
        raise InputError(f"{data}: is made of {len(sources)} sets, to learn from; name one of them by its files")
    return sources[0]


def find_sources(data: str, images: Path | None) -> list[Source]:
    """Return the sources behind a named set or the user's own annotations. Raises InputError where there are none."""
    if data in MPII_SETS:
        made, _ = generated(MPII_SETS[data])
        with Reporter(f"Placing people of {data}", made.images) as report:
            own = ensure_mpii(made, progress=report.progress)
        return [Source(data, made.mpii_file, made.images_folder, named(own["sha256"]))]
    if data in NAMED_SETS:
        made, digests = generated(data)
        return [Source(data, made.annotations_file, made.images_folder, digests)]
    if data in PHOTO_SETS:
        return photographs(data)
    if is_folder(data):
        annotations, pictures = converted(data)
        return [Source(data, annotations, pictures, {"annotations_sha256": sha256_of(annotations)})]
    if not Path(data).is_file():
        sets = ", ".join([*NAMED_SETS, *MPII_SETS, *PHOTO_SETS])
        raise InputError(f"{data}: neither a named set ({sets}) nor an annotations file nor a folder")
    if images is None:
        raise InputError(f"{data}: say where its images are with --images FOLDER")
    return [Source(Path(data).name, Path(data), images, {"annotations_sha256": sha256_of(Path(data))})]


def annotations_of(data: str) -> Path:
    """Return the annotations file behind a name, a folder or a path, where no image is wanted."""
    return Path(data) if is_file(data) else find_data(data, None).annotations


def find_all(data: Sequence[str], images: Sequence[Path]) -> list[Source]:
    """Return the sources of several sets; every annotations file takes the next images folder.

    Raises InputError where folders and files do not go together.
    """
    files = [name for name in data if is_file(name)]
    if len(images) > len(files):
        raise InputError(f"--images {images[-1]}: there are {len(images)} folders for {len(files)} annotations files")
    folders = dict(zip(files, images, strict=False))
    return [source for name in data for source in find_sources(name, folders.get(name))]


def photographs(name: str) -> list[Source]:
    """Return the sources of a named set of photographs. Raises InputError where one is missing."""
    folder, found = photos_folder(), []
    for source in PHOTO_SETS[name]:
        annotations = folder / source.annotations
        if not annotations.is_file():
            raise InputError(f"{name}: {annotations} is missing")
        digests = {"annotations_sha256": sha256_of(annotations)}
        title = f"{name}: {source.annotations}"
        found.append(Source(title, annotations, folder / source.images, digests, source.repeat, source.labels))
    return found


def generated(name: str) -> tuple[MannequinSet, dict[str, str]]:
    """Return a named generated set, made now where it is not in the cache, and its digests."""
    with Reporter(f"Generating {name}", NAMED_SETS[name].images) as report:
        made = ensure_named(name, progress=report.progress)
    return made, named(json.loads((made.folder / "manifest.json").read_text(encoding="utf-8"))["sha256"])


def named(sha256: dict[str, str]) -> dict[str, str]:
    """Return digests under the names that identities have for them, `PART_sha256`."""
    return {f"{part}_sha256": value for part, value in sha256.items()}
