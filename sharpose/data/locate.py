"""From what a user names, a generated set or files, to annotations and images. No torch."""

from __future__ import annotations

import json
from pathlib import Path

from sharpose.data.cache import NAMED_SETS, ensure_named
from sharpose.errors import InputError
from sharpose.files import sha256_of
from sharpose.progress import Reporter


def find_data(data: str, images: Path | None) -> tuple[Path, Path, dict[str, str]]:
    """Annotations, images folder and identifying digests of a named generated set or of the user's own files."""
    if data in NAMED_SETS:
        with Reporter(f"Generating {data}", NAMED_SETS[data].images) as report:
            made = ensure_named(data, progress=report.progress)
        manifest = json.loads((made.folder / "manifest.json").read_text())
        return made.annotations_file, made.images_folder, {f"{k}_sha256": v for k, v in manifest["sha256"].items()}
    if not Path(data).is_file():
        raise InputError(f"{data}: neither a generated set ({', '.join(NAMED_SETS)}) nor an annotations file")
    if images is None:
        raise InputError(f"{data}: say where its images are with --images FOLDER")
    return Path(data), images, {"annotations_sha256": sha256_of(Path(data))}
