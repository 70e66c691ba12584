"""The top-down data set: one crop per person of a COCO-format keypoint file, for any skeleton."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from sharpose.data.annotation_rows import ImageEntry, clip_box
from sharpose.data.annotations import PoseFile, load_detections, load_pose_file, onto
from sharpose.data.augment import Augmentation, Draw, change_pixels
from sharpose.data.images import read_image
from sharpose.data.labels import LabelRule
from sharpose.data.people import Columns, Instance, Instances
from sharpose.pose.geometry import (
    BOX_PADDING,
    WARPS,
    Warp,
    box_to_center_scale,
    crop,
    half_body_center_scale,
    mirror_first,
    mirror_keypoints,
    transform_points,
)
from sharpose.pose.skeleton import Skeleton
from sharpose.runtime.errors import InputError
from sharpose.runtime.progress import note

Sample = dict[str, Any]
TURNED = (
    "the EXIF orientation asks to turn the picture, which is not done: labels count stored pixels (`sharpose data "
    "doctor` counts such pictures)"
)


class CocoTopDown(Dataset[Sample]):
    """Crops of the people in `annotations` (COCO's or MPII's layout), or of the boxes in a detections file.

    boxes: "ground-truth" takes every annotation that is no crowd, has a labelled keypoint and a box with positive area
    inside the image (clipped to it), box score 1; a path takes every detection of the keypoint category, unclipped, as
    COCO's protocol has it: also those without area or outside, but a negative width or height is an error, as the rule
    that widens the shorter side would silently make another box of it.
    augmentation: random crops for training; draws depend on (seed, epoch, instance id) alone, not on order or workers.
    warp: "udp" crops for the UDP codecs, "affine" for the plain and DARK ones.
    by_name: take the keypoints of this layout, found by name in the file's; the others stay unlabelled.
    labels: which labels count, and how much (training).
    padding: the crop's sides over the box's.
    preload: decode every image once and keep it in memory, shared with forked workers.
    category: the keypoint category's name, where there are several and none is `person`, or another is meant.
    Each rule of `sharpose.data.annotations` that was needed, and EXIF orientations that are not applied, are noted once
    on standard error.
    Raises InputError for anything wrong with the files.
    """

    def __init__(
        self,
        annotations: Path | str,
        images: Path | str,
        *,
        image_size: tuple[int, int],
        boxes: Literal["ground-truth"] | Path | str = "ground-truth",
        augmentation: Augmentation | None = None,
        preload: bool = False,
        seed: int = 0,
        by_name: Skeleton | None = None,
        warp: Warp = "udp",
        labels: LabelRule = LabelRule(),
        category: str | None = None,
        padding: float = BOX_PADDING,
    ) -> None:
        self.annotations, self.folder, self.boxes = Path(annotations), Path(images), boxes
        self.image_size = image_size
        self.augmentation = augmentation
        self.seed = seed
        self.warp = warp
        self.padding = padding
        self.by_name = by_name
        if boxes != "ground-truth" and augmentation is not None:
            raise InputError(f"{boxes}: detections have no keypoints, so they cannot be augmented for training")
        pose_file = load_pose_file(self.annotations, category)
        if by_name is None and pose_file.skeleton.problem:
            raise InputError(f"{self.annotations}: {pose_file.skeleton.problem}")
        if by_name is not None:
            pose_file = onto(pose_file, by_name)
        self.pose_file = pose_file
        self.skeleton = pose_file.skeleton
        self.category_id = pose_file.category_id
        self.images = pose_file.images
        if boxes == "ground-truth":
            self.instances = ground_truth_instances(pose_file, labels)
        else:
            self.instances = _detected_instances(Path(boxes), pose_file)
        if not self.instances:
            why = f" ({'; '.join(pose_file.notes)})" if pose_file.notes else ""
            raise InputError(f"{self.annotations}: holds no person with labelled keypoints and a box{why}")
        self._check_images()
        for line in pose_file.notes:
            note(f"{self.annotations}: {line}")
        if augmentation is not None:
            # training reads no row again, and those of COCO would take more memory than its people
            self.pose_file = replace(pose_file, annotations=[])
        # in memory that workers share, so that it is said once
        self._told_turned = torch.zeros(1, dtype=torch.uint8).share_memory_()
        self._decoded: dict[int, np.ndarray] = {}
        self._latest: tuple[int, np.ndarray] | None = None
        if preload:
            self._preload()

    def __len__(self) -> int:
        return len(self.instances)

    @property
    def image_ids(self) -> list[int]:
        """Return ids of the images that hold at least one of the crops, ascending."""
        return self.instances.image_ids

    @property
    def pictures(self) -> list[Path]:
        """Return the files of these images."""
        return [self.folder / self.images[image_id].file_name for image_id in self.image_ids]

    def __getitem__(self, index: int) -> Sample:
        """Return `sample` with the draws of the first epoch."""
        return self.sample(index, epoch=0)

    def sample(self, index: int, epoch: int) -> Sample:
        """Return one crop, with the random draws of an epoch.

        image uint8 (3, H, W) RGB; keypoints float32 (K, 2) in crop pixels, visible float32 (K,), 0 or 1, and
        label_weight float32 (K,); center and
        scale float32 (2,), the crop's middle and sides in photograph pixels (after augmentation, in the mirrored
        photograph where it was mirrored); area in squared photograph pixels; box_score; image_id; instance_id.
        """
        instance = self.instances[index]
        photograph = self.photograph(instance.image_id)
        draw = self._draw(instance, epoch)
        center, scale = self._crop_box(instance, draw)
        keypoints, visible, weights = instance.keypoints, instance.visible, instance.weights
        width = photograph.shape[1]
        if draw.flip:
            keypoints, visible = mirror_keypoints(keypoints, visible, width, self.skeleton.flip_order)
            weights = weights[list(self.skeleton.flip_order)]
            center = np.array([width - 1 - center[0], center[1]])
        matrix = WARPS[self.warp](center, scale, draw.rotation, self.image_size)
        pixels = crop(photograph, mirror_first(matrix, width) if draw.flip else matrix, self.image_size)
        pixels = change_pixels(pixels, draw)
        arrays = {"keypoints": transform_points(keypoints, matrix), "visible": visible, "label_weight": weights}
        arrays |= {"center": center, "scale": scale}
        return {
            "image": torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
            **{name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()},
            "area": instance.area,
            "box_score": instance.box_score,
            "image_id": instance.image_id,
            "instance_id": instance.instance_id,
        }

    def _draw(self, instance: Instance, epoch: int) -> Draw:
        if self.augmentation is None:
            return Draw()
        entropy = np.random.SeedSequence((self.seed, epoch, instance.instance_id))
        return self.augmentation.draw(np.random.Generator(np.random.Philox(entropy)))

    def _crop_box(self, instance: Instance, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """Return the crop's middle (2,), x before y, and its sides (2,), width first, in photograph pixels."""
        center, scale = box_to_center_scale(instance.bbox_xywh, self.image_size, self.padding)
        if self.augmentation is None:
            return center, scale
        moved = scale if self.augmentation.shift_of == "crop" else instance.bbox_xywh[2:]
        center = center + np.array(draw.shift) * moved
        if draw.half_body and instance.visible.sum() > self.augmentation.half_body_above:
            half = half_body_center_scale(
                instance.keypoints, instance.visible, self.skeleton.upper_body, draw.prefer_upper, self.image_size
            )
            # people whose visible keypoints lie on one spot have no half to look at
            if half is not None and half[1].min() > 1:
                center, scale = half
        return center, scale * draw.scale

    def forget(self) -> None:
        """Drop the photograph of the last crop, so that the next one reads its own, as in a random order."""
        self._latest = None

    def photograph(self, image_id: int) -> np.ndarray:
        """Return an image as RGB (H, W, 3), decoded once while its people follow each other."""
        if image_id in self._decoded:
            return self._decoded[image_id]
        # boxes of one image follow each other in evaluation
        if self._latest is None or self._latest[0] != image_id:
            self._latest = image_id, self._read(image_id)
        return self._latest[1]

    def _read(self, image_id: int) -> np.ndarray:
        """Return an image as RGB (H, W, 3), uint8. Raises InputError for one that cannot be used."""
        entry = self.images[image_id]
        size = (entry.height, entry.width) if entry.height and entry.width else None
        return read_image(self.folder / entry.file_name, size, on_turned=lambda turn: self._tell_turned(entry))

    def _tell_turned(self, entry: ImageEntry) -> None:
        if not self._told_turned.item():
            self._told_turned.fill_(1)
            note(f"{self.folder / entry.file_name}: {TURNED}")

    @property
    def notes(self) -> list[str]:
        """Return what a reader of the numbers must know: rules that were needed, and turned pictures read."""
        return [*self.pose_file.notes, *([TURNED] if self._told_turned.item() else [])]

    def _preload(self) -> None:
        image_ids = self.image_ids
        with ThreadPoolExecutor() as pool:
            pictures = pool.map(self._read, image_ids)
            for image_id, picture in zip(image_ids, pictures, strict=True):
                picture.setflags(write=False)
                self._decoded[image_id] = picture

    def _check_images(self) -> None:
        """Raise InputError where the folder or one of the images is missing."""
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such images folder")
        names = [self.images[image_id].file_name for image_id in self.image_ids]
        missing = [name for name in names if not (self.folder / name).is_file()]
        if missing:
            raise InputError(
                f"{self.folder}: {len(missing)} of {len(names)} images of {self.annotations} are missing, "
                f"the first is {missing[0]}; give the folder that holds them"
            )


def ground_truth_instances(pose_file: PoseFile, labels: LabelRule = LabelRule()) -> Instances:
    """Return people to train and evaluate on: no crowd, a labelled keypoint, a box with area inside the image."""
    people = Columns(len(pose_file.annotations), pose_file.skeleton.num_keypoints)
    for row in pose_file.annotations:
        if row["iscrowd"] or any(row.get(flag) for flag in labels.without):
            continue
        points = np.asarray(row["keypoints"], dtype=np.float64).reshape(-1, 3)
        visible = (points[:, 2] > 0).astype(np.float64)
        visible, weights = labels.judge(visible, row.get("keypoint_scores"))
        box = np.array(clip_box(row["bbox"], pose_file.images[row["image_id"]]), dtype=np.float64)
        if visible.any() and box[2] > 0 and box[3] > 0:
            ids = {"instance_id": row["id"], "image_id": row["image_id"], "area": row["area"], "box_score": 1.0}
            people.add(**ids, bbox_xywh=box, keypoints=points[:, :2], visible=visible, weights=weights)
    return people.people()


def _detected_instances(path: Path, pose_file: PoseFile) -> Instances:
    detections = load_detections(path, pose_file)
    people = Columns(len(detections), pose_file.skeleton.num_keypoints)
    for number, row in detections:
        box = np.asarray(row["bbox"], dtype=np.float64)
        # every box is kept; one smaller than a pixel on both sides is looked at as a single pixel
        if box[2:].max() < 1:
            box[2:] = 1.0
        ids = {"instance_id": number, "image_id": row["image_id"], "area": box[2] * box[3], "box_score": row["score"]}
        people.add(**ids, bbox_xywh=box)
    return people.people()
