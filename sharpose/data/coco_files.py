"""The official files of COCO 2017 that keypoints need: what each is, where it belongs, and fetching it.

Lengths and checksums are those that TensorFlow Datasets lists (url_checksums/coco.txt).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharpose.data.download import RemoteFile, fetch
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.progress import Heard, unheard

OFFICIAL = "http://images.cocodataset.org"
State = Literal["there", "downloaded", "begun", "missing"]


@dataclass(frozen=True)
class Part:
    """One archive. `holds`: paths that it unpacks to; `purpose`: what needs it."""

    path: str
    size: int
    sha256: str
    holds: tuple[str, ...]
    purpose: str


PARTS: dict[str, Part] = {
    "annotations": Part(
        "annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        ("annotations/person_keypoints_train2017.json", "annotations/person_keypoints_val2017.json"),
        "training and val",
    ),
    "val": Part(
        "zips/val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        ("val2017",),
        "val: 5,000 images",
    ),
    "train": Part(
        "zips/train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        ("train2017",),
        "training: 118,287 images",
    ),
    "test-info": Part(
        "annotations/image_info_test2017.zip",
        1_144_034,
        "e52f412dd7195ac8f98d782b44c6dd30ea10241e9f42521f67610fbe055a74f8",
        ("annotations/image_info_test-dev2017.json",),
        "test-dev, for sharpose submit",
    ),
    "test": Part(
        "zips/test2017.zip",
        6_646_970_404,
        "c7908c3c9f94ba2f3340ebbeec58c25db6be8774f18d68c2f15d0e369d95baba",
        ("test2017",),
        "test-dev: 20,288 of its 40,670 images",
    ),
}

DETECTIONS = (
    "person_detection_results/COCO_val2017_detections_AP_H_56_person.json (104,125 boxes of a detector with a person "
    "AP of 56.4) and person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json are not COCO's: the "
    "authors of SimpleBaseline and HRNet link them in their repositories, from where they have to be fetched by hand"
)


def state(part: Part, folder: Path) -> State:
    """Return whether a part is unpacked in `folder`, downloaded, begun, or not there; contents are not looked at."""
    archive = folder / Path(part.path).name
    if all((folder / path).exists() for path in part.holds) and not _unfinished(archive).exists():
        return "there"
    if archive.exists():
        return "downloaded"
    return "begun" if archive.with_name(archive.name + ".part").exists() else "missing"


def fetch_part(
    name: str, folder: Path, base_url: str = OFFICIAL, progress: Heard = unheard, *, pause_s: float = 2.0
) -> Path:
    """Download a part (going on where it broke off), check and unpack it; its archive, which may then be removed.

    Raises InputError for an unknown part or address, RunFailed where the server fails or sends another file.
    """
    part = known_part(name)
    if not base_url.startswith(("http://", "https://")):
        raise InputError(f"--base-url {base_url!r}: must begin with http:// or https://")
    remote = RemoteFile(f"{base_url.rstrip('/')}/{part.path}", part.size, part.sha256)
    archive = fetch(remote, folder, progress, pause_s=pause_s)
    if state(part, folder) != "there":
        unpack(archive, folder)
    missing = [path for path in part.holds if not (folder / path).exists()]
    if missing:
        raise RunFailed(f"{archive}: holds no {missing[0]}")
    return archive


def known_part(name: str) -> Part:
    """Return a part of COCO by its name. Raises InputError, listing the names, for another."""
    if name not in PARTS:
        raise InputError(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    return PARTS[name]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack what is not wholly there yet; a broken member (its checksum is wrong) raises RunFailed."""
    mark = _unfinished(archive)
    mark.touch()
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                target = folder / member.filename
                if member.is_dir() or not target.exists() or target.stat().st_size != member.file_size:
                    opened.extract(member, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise RunFailed(f"{archive}: cannot be unpacked ({error}); remove it and fetch it again") from error
    mark.unlink()


def explain(folder: Path, names: Iterable[str] = ()) -> list[str]:
    """Return what the parts are, how big, and where they stand in `folder`, for people."""
    lines = [
        f"{name:12} {known_part(name).size / 1e6:9,.1f} MB  {state(PARTS[name], folder):10}  {PARTS[name].purpose}"
        for name in names or PARTS
    ]
    return [f"COCO 2017 in {folder}:", *lines, f"Detector boxes: {DETECTIONS}."]


def _unfinished(archive: Path) -> Path:
    return archive.with_name(archive.name + ".unpacking")
