"""Sets of photographs by name, inside the folder that $SHARPOSE_PHOTOS names. None of them ships. No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from sharpose.data.labels import LabelRule
from sharpose.runtime.errors import InputError

VARIABLE = "SHARPOSE_PHOTOS"


@dataclass(frozen=True)
class PhotoSource:
    """Annotations in COCO's format and their images, as paths inside the folder.

    `repeat`: how often an epoch shows each person; `labels`: what their labels count.
    """

    annotations: str
    images: str
    repeat: int = 1
    labels: LabelRule = field(default_factory=LabelRule)


# A small public model labelled `people`: what it was unsure of does not count, the rest as much as it was sure. The
# sides of some people in Leeds Sports are swapped by hand. The few people of COCO are labelled as those to judge by.
PHOTO_SETS: dict[str, tuple[PhotoSource, ...]] = {
    "photos-train": (
        PhotoSource(
            "people/person_keypoints_train.json", "people/train", labels=LabelRule(least_score=0.3, by_score=True)
        ),
        PhotoSource(
            "people/person_keypoints_train_faces.json",
            "lspet/train",
            labels=LabelRule(without=("sides_disagree",)),
        ),
        PhotoSource("coco_mini/annotations/person_keypoints_train2017.json", "coco_mini/train2017", repeat=5),
    ),
    "photos-val": (PhotoSource("people/person_keypoints_holdout.json", "people/holdout"),),
    "photos-coco": (PhotoSource("coco_mini/annotations/person_keypoints_val2017.json", "coco_mini/val2017"),),
    "photos-pelota": (PhotoSource("pfg/annotations.json", "pfg/images"),),
    "photos-lspet": (PhotoSource("lspet/person_keypoints_val.json", "lspet/val"),),
}


def photos_folder() -> Path:
    """Return where the photographs lie. Raises InputError where the variable is not set or names no folder."""
    value = os.environ.get(VARIABLE)
    if not value:
        raise InputError(f"photographs do not ship: set {VARIABLE} to the folder that holds people, lspet, coco_mini")
    try:
        folder = Path(value).expanduser()
    except RuntimeError:
        raise InputError(f"{VARIABLE}={value}: this user has no home folder; give the whole path") from None
    if not folder.is_dir():
        raise InputError(f"{VARIABLE}={value}: no such folder")
    return folder
