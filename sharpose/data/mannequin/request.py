"""What can be asked of the generator, and where its files lie. Imports no drawing, so that asking is quick."""

from __future__ import annotations

from pathlib import Path

from sharpose.runtime.errors import InputError

# Raised whenever the same people would get other MPII annotations; those files have their own manifest.
MPII_VERSION = 1


def images_path(folder: Path, split: str) -> Path:
    """Return the folder of a split's images."""
    return Path(folder) / split


def annotations_path(folder: Path, split: str) -> Path:
    """Return the split's COCO person-keypoints file."""
    return Path(folder) / "annotations" / f"person_keypoints_{split}.json"


def detections_path(folder: Path, split: str) -> Path:
    """Return the split's person detections: a list of {image_id, category_id, bbox, score}."""
    return Path(folder) / "annotations" / f"detections_{split}.json"


def mpii_path(folder: Path, split: str) -> Path:
    """Return the split's people in MPII's layout: a list of {image, center, scale, joints, joints_vis}."""
    return Path(folder) / "annotations" / f"mpii_{split}.json"


def mpii_truth_path(folder: Path, split: str) -> Path:
    """Return the split's ground truth for PCKh, in the layout of MPII's official file."""
    return Path(folder) / "annotations" / f"mpii_gt_{split}.mat"


def mpii_manifest_path(folder: Path) -> Path:
    """Return the file that says what the two files in MPII's layout are and hash to."""
    return Path(folder) / "manifest-mpii.json"


def check_request(split: str, images: int, seed: int, workers: int | None) -> None:
    """Raise InputError, naming the field, unless this can be generated."""
    if not split or not split.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"mannequin: split={split!r} must be a name of letters, digits, - and _")
    if not 1 <= images <= 999_999:
        raise InputError(f"mannequin: images={images} must be within [1, 999999]")
    if seed < 0:
        raise InputError(f"mannequin: seed={seed} must not be negative")
    if workers is not None and workers < 1:
        raise InputError(f"mannequin: workers={workers} must be at least 1")
