"""From what a user names, a generated set or files, to annotations and images. No torch."""

from __future__ import annotations

import json
from pathlib import Path

from sharpose.data.cache import MPII_SETS, NAMED_SETS, MannequinSet, ensure_mpii, ensure_named
from sharpose.errors import InputError
from sharpose.files import sha256_of
from sharpose.progress import Reporter


def is_generated(data: str) -> bool:
    """Whether a generated set is called so."""
    return data in NAMED_SETS or data in MPII_SETS


def find_data(data: str, images: Path | None) -> tuple[Path, Path, dict[str, str]]:
    """Annotations, images folder and identifying digests of a named generated set or of the user's own files."""
    if data in MPII_SETS:
        made, _ = generated(MPII_SETS[data])
        with Reporter(f"Placing people of {data}", made.images) as report:
            own = ensure_mpii(made, progress=report.progress)
        return made.mpii_file, made.images_folder, {f"{k}_sha256": v for k, v in own["sha256"].items()}
    if data in NAMED_SETS:
        made, digests = generated(data)
        return made.annotations_file, made.images_folder, digests
    if not Path(data).is_file():
        sets = ", ".join([*NAMED_SETS, *MPII_SETS])
        raise InputError(f"{data}: neither a generated set ({sets}) nor an annotations file")
    if images is None:
        raise InputError(f"{data}: say where its images are with --images FOLDER")
    return Path(data), images, {"annotations_sha256": sha256_of(Path(data))}


def generated(name: str) -> tuple[MannequinSet, dict[str, str]]:
    """A named generated set, made now where it is not in the cache, and its digests."""
    with Reporter(f"Generating {name}", NAMED_SETS[name].images) as report:
        made = ensure_named(name, progress=report.progress)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    return made, {f"{k}_sha256": v for k, v in manifest["sha256"].items()}
