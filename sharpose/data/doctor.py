"""A COCO- or MPII-format keypoint data set looked over as a whole: every fault counted, none raised.

The reader is that of training and evaluation (`sharpose.data.annotations`), told to collect what it would stop at, so
that a healthy set is one that they accept, and of which they leave nobody out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sharpose.data.annotation_rows import Findings, ImageEntry, counted
from sharpose.data.annotations import (
    PoseFile,
    check_layout,
    load_detections,
    load_pose_file,
    read_json,
)
from sharpose.data.coco import ground_truth_instances
from sharpose.data.images import read_image
from sharpose.runtime.errors import InputError
from sharpose.runtime.progress import Heard, unheard


@dataclass
class Examination(Findings):
    """What reading and looking found; what is lost to a rule is a fault, too. `counts` are facts by their names."""

    collected: bool = True
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Return whether nothing was found that a command would not accept."""
        return not self.faults

    @property
    def lines(self) -> list[str]:
        """Return counts, faults and notes as lines of text, a verdict last."""
        facts = [f"{count:8}  {name}" for name, count in self.counts.items()]
        named = [("WRONG", *item) for item in self.faults.items()] + [("note", *item) for item in self.remarks.items()]
        found = []
        for word, kind, places in named:
            said = counted(kind, places).removeprefix(f"{len(places)} ")
            found.append(f"{len(places) or '':>8}  {word}: {said}")
        good = "nothing wrong" if not self.remarks else f"nothing wrong, {len(self.remarks)} notes"
        return [*facts, *found, good if self.healthy else f"{len(self.faults)} kinds of faults"]


def examine(
    annotations: Path,
    images: Path | None = None,
    detections: Path | None = None,
    progress: Heard = unheard,
    category: str | None = None,
) -> Examination:
    """Look at an annotations file, at every image in `images`, and at whether `detections` belong to them.

    Raises InputError where the annotations file is missing, cut off, no annotations file at all, has no layout of
    keypoints that can be used, or coordinates that are no pixels.
    """
    found = Examination()
    pose_file = load_pose_file(annotations, category, found)
    found.faults |= found.losses
    count_people(pose_file, found)
    if images is not None:
        if not images.is_dir():
            raise InputError(f"--images {images}: no such folder")
        for number, entry in enumerate(pose_file.images.values(), start=1):
            examine_image(images / entry.file_name, entry, found)
            progress(number, len(pose_file.images))
    if detections is not None:
        examine_detections(detections, pose_file, found)
    return found


def count_people(pose_file: PoseFile, found: Examination) -> None:
    """Count what there is to train on, as training counts it."""
    rows = pose_file.annotations
    people = [row for row in rows if not row["iscrowd"]]
    taken = ground_truth_instances(pose_file)
    found.counts |= {
        "images": len(pose_file.images),
        "images without a person": len(set(pose_file.images) - {row["image_id"] for row in people}),
        "annotations": found.rows,
        "crowds": len(rows) - len(people),
        "people without labelled keypoints": sum(not row["num_keypoints"] for row in people),
        "people to train on": len(taken),
        "keypoints": pose_file.skeleton.num_keypoints,
        "left/right pairs": len(pose_file.skeleton.flip_pairs),
    }
    if problem := pose_file.skeleton.problem:
        found.faults[problem] = []
    try:
        unlikely = check_layout(pose_file, "the usual models", pose_file.skeleton.num_keypoints)
        found.remarks |= {line: [] for line in unlikely}
    except InputError as error:
        found.faults[str(error).removeprefix(f"{pose_file.path}: ")] = []
    if not taken:
        found.fault("nobody to train on, so that train and evaluate stop", pose_file.path.name)


def examine_image(path: Path, entry: ImageEntry, found: Examination) -> None:
    """Decode an image: missing, broken, or not of the stated size; and whether it is stored turned."""

    def turned(orientation: int) -> None:
        kind = "image whose EXIF orientation asks to turn it, which is not done: its labels must count stored pixels"
        found.remark(kind, f"{entry.file_name} ({orientation})")

    if not path.exists():
        found.fault("missing image", entry.file_name)
        return
    size = (entry.height, entry.width) if entry.height and entry.width else None
    try:
        read_image(path, size, on_turned=turned)
    except InputError as error:
        said = str(error).removeprefix(f"{path.parent}/")
        found.fault("wrong size" if "annotations say" in said else "image that cannot be read", said)


def examine_detections(path: Path, pose_file: PoseFile, found: Examination) -> None:
    """Check whether evaluation takes the boxes: of these images, of people, with numbers."""
    kept = load_detections(path, pose_file, found)
    content = read_json(path)
    other = sum(
        isinstance(row.get("category_id"), int) and row["category_id"] != pose_file.category_id for row in content
    )
    found.counts |= {
        "detections": len(content),
        "images with detections": len({row["image_id"] for _, row in kept}),
        "detections of other categories": other,
    }
