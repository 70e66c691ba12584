"""Generated data sets kept on disk: made once, checked by their manifest, found by what was asked for. No torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from sharpose.data.mannequin.parameters import MannequinParameters, SceneParameters
from sharpose.data.mannequin.request import (
    MPII_VERSION,
    annotations_path,
    detections_path,
    images_path,
    mpii_manifest_path,
    mpii_path,
    mpii_truth_path,
)
from sharpose.data.pictures import pictures_sha256
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of
from sharpose.runtime.progress import Heard, unheard


@dataclass(frozen=True)
class MannequinSet:
    """A request for generated people, and where its files lie once it has been made."""

    split: str
    images: int
    seed: int
    parameters: MannequinParameters = field(default_factory=MannequinParameters)

    @property
    def request(self) -> dict[str, Any]:
        """Return what determines the files, by the names that `generate` has for it."""
        return dict(vars(self))

    @property
    def folder(self) -> Path:
        """Return the folder in the cache; its name holds the generator's version and a hash of the request."""
        request = {"version": self.parameters.version, **self.request, "parameters": asdict(self.parameters)}
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        return cache_dir() / "mannequin" / f"{self.parameters.version}-{key[:16]}"

    @property
    def annotations_file(self) -> Path:
        """Return the COCO person-keypoints file."""
        return annotations_path(self.folder, self.split)

    @property
    def detections_file(self) -> Path:
        """Return the file of simulated person detections."""
        return detections_path(self.folder, self.split)

    @property
    def mpii_file(self) -> Path:
        """Return the file of the same people in MPII's layout; made by `ensure_mpii`."""
        return mpii_path(self.folder, self.split)

    @property
    def mpii_truth_file(self) -> Path:
        """Return the file of ground truth for PCKh, head boxes included; made by `ensure_mpii`."""
        return mpii_truth_path(self.folder, self.split)

    @property
    def images_folder(self) -> Path:
        """Return the folder of the JPEG files."""
        return images_path(self.folder, self.split)


# More than two labelled people stand in an image: some 50,000 to learn from, over 1,000 to choose by and to judge by.
# The sets named mannequin2 are of the generator's version 2, whose people are about as hard as COCO's.
NAMED_SETS = {
    f"{name}-{split}": MannequinSet(split, images, seed, parameters)
    for name, parameters in (("mannequin", MannequinParameters()), ("mannequin2", SceneParameters()))
    for split, images, seed in (("train", 23_400, 1), ("val", 520, 2), ("test", 520, 3), ("tiny", 40, 4))
}

# The same people in MPII's layout, by the name of the set they are of.
MPII_SETS = {f"{name}-mpii": name for name in NAMED_SETS}


def cache_dir() -> Path:
    """Return where generated data is kept: $SHARPOSE_CACHE, else ~/.cache/sharpose. Raises InputError without home."""
    try:
        return Path(os.environ.get("SHARPOSE_CACHE") or "~/.cache/sharpose").expanduser()
    except RuntimeError:
        raise InputError("this user has no home folder; set SHARPOSE_CACHE to a folder for generated data") from None


def named_set(name: str) -> MannequinSet:
    """Return the request behind a name. Raises InputError, listing the valid ones, for another."""
    if name not in NAMED_SETS:
        raise InputError(f"no generated data set is called {name!r}; there are {', '.join(NAMED_SETS)}")
    return NAMED_SETS[name]


def ensure_named(name: str, *, progress: Heard = unheard) -> MannequinSet:
    """Return the named set, made now unless a sound copy is in the cache."""
    return ensure(named_set(name), progress=progress)


def ensure(wanted: MannequinSet, *, workers: int | None = None, progress: Heard = unheard) -> MannequinSet:
    """Return the set, made now where it is not in the cache or does not agree with its manifest.

    Of several processes that ask at once, one generates and the others wait.
    """
    if find_fault(wanted) is None:
        return wanted
    with _lock(wanted.folder):
        if find_fault(wanted) is not None:
            from sharpose.data.mannequin.generate import generate

            _clear(wanted.folder)
            generate(wanted.folder, **wanted.request, workers=workers, progress=progress)
    return wanted


def ensure_mpii(wanted: MannequinSet, *, workers: int | None = None, progress: Heard = unheard) -> dict[str, Any]:
    """Add the files in MPII's layout to a set that is in the cache, unless sound ones are there; their manifest."""
    sound = mpii_manifest(wanted)
    if sound is not None:
        return sound
    with _lock(wanted.folder):
        sound = mpii_manifest(wanted)
        if sound is None:
            from sharpose.data.mannequin.mpii import write_mpii

            request: dict[str, Any] = {"split": wanted.split, "seed": wanted.seed, "parameters": wanted.parameters}
            sound = write_mpii(wanted.folder, **request, workers=workers, progress=progress)
    return sound


def mpii_manifest(wanted: MannequinSet) -> dict[str, Any] | None:
    """Return the manifest of a set's files in MPII's layout, if they fit it and belong to the COCO annotations."""
    files = (wanted.annotations_file, wanted.mpii_file, wanted.mpii_truth_file)
    try:
        manifest: dict[str, Any] = json.loads(mpii_manifest_path(wanted.folder).read_text(encoding="utf-8"))
        found = dict(zip(("coco_annotations", "mpii", "mpii_truth"), map(sha256_of, files), strict=True))
    except (OSError, ValueError):
        return None
    return manifest if manifest.get("version") == MPII_VERSION and manifest.get("sha256") == found else None


def find_fault(wanted: MannequinSet) -> str | None:
    """Return what is wrong with a set's copy in the cache, in a few words; None if nothing is.

    The annotation files and the images are compared with the manifest's sha256.
    """
    try:
        manifest: dict[str, Any] = json.loads((wanted.folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "no readable manifest"
    asked: dict[str, Any] = {"version": wanted.parameters.version, "split": wanted.split, "seed": wanted.seed}
    asked["parameters"] = asdict(wanted.parameters)
    if any(manifest.get(key) != value for key, value in asked.items()):
        return "the manifest is of another request"
    images = sorted(wanted.images_folder.glob("*.jpg"))
    if len(images) != wanted.images:
        return "images are missing"
    for kind, path in (("annotations", wanted.annotations_file), ("detections", wanted.detections_file)):
        if not path.is_file() or sha256_of(path) != manifest.get("sha256", {}).get(kind):
            return f"{path.name} differs from the manifest"
    if pictures_sha256(images) != manifest.get("sha256", {}).get("images"):
        return "images differ from the manifest"
    return None


def _lock(folder: Path) -> FileLock:
    """Return what everybody holds who makes or replaces this folder, as long as their process lives."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def _clear(folder: Path) -> None:
    """Remove a faulty copy and what killed runs left; only called while holding the lock."""
    for leftover in (folder, *folder.parent.glob(f".{folder.name}.*/")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
