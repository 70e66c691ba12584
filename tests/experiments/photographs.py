"""A folder in the layout of SHARPOSE_PHOTOS, with a few small pictures of noise and people at random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sharpose.data.photos import PHOTO_SETS
from sharpose.pose.skeleton import COCO_CATEGORY


def write_photographs(folder: Path, images: int = 3, sides: tuple[int, int] = (400, 300)) -> Path:
    """Every source of every set: `images` pictures of width and height `sides` with one person each."""
    rng = np.random.default_rng(0)
    for source in {one.annotations: one for sources in PHOTO_SETS.values() for one in sources}.values():
        (folder / source.images).mkdir(parents=True, exist_ok=True)
        (folder / source.annotations).parent.mkdir(parents=True, exist_ok=True)
        rows, people = [], []
        for number in range(1, images + 1):
            name = f"{number}.png"
            Image.fromarray(rng.integers(0, 255, (*sides[::-1], 3), dtype=np.uint8)).save(folder / source.images / name)
            rows.append({"id": number, "file_name": name, "width": sides[0], "height": sides[1]})
            points = np.column_stack([rng.uniform((110, 60), (150, 150), (17, 2)), np.full(17, 2)]).round(2)
            points[3] = 0
            person = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [100, 50, 60, 110]}
            person |= {"keypoints": points.ravel().tolist(), "num_keypoints": 16, "area": 4000.0}
            people.append(person | {"keypoint_scores": [0.9] * 17, "sides_disagree": False})
        content = {"images": rows, "annotations": people, "categories": [COCO_CATEGORY]}
        (folder / source.annotations).write_text(json.dumps(content))
    return folder
