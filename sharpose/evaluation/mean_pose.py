"""The control that every model has to beat: the mean pose of the training people in every box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sharpose.data.annotations import load_pose_file, onto
from sharpose.data.coco import CocoTopDown, Instance, ground_truth_instances
from sharpose.runtime.errors import InputError


def mean_pose_control(train_annotations: Path | str | Sequence[Path], dataset: CocoTopDown) -> list[dict[str, Any]]:
    """Return results of a predictor without a model: the mean pose of the training boxes in every box of `dataset`.

    The training boxes are of one file or several. What a model must beat to have learnt anything from pixels. Raises
    InputError where keypoints do not fit.
    """
    files = [Path(train_annotations)] if isinstance(train_annotations, Path | str) else train_annotations
    people = [person for file in files for person in people_of(file, dataset)]
    boxes = np.stack([person.bbox_xywh for person in people])[:, None]
    visible = np.stack([person.visible for person in people])[..., None] > 0
    relative = (np.stack([person.keypoints for person in people]) - boxes[..., :2]) / boxes[..., 2:]
    mean = np.where(visible, relative, 0).sum(axis=0) / np.maximum(visible.sum(axis=0), 1)
    return [
        {
            "image_id": instance.image_id,
            "category_id": dataset.category_id,
            "keypoints": np.column_stack([mean * instance.bbox_xywh[2:] + instance.bbox_xywh[:2], np.ones(len(mean))])
            .ravel()
            .tolist(),
            "score": instance.box_score,
        }
        for instance in dataset.instances
    ]


def people_of(annotations: Path, dataset: CocoTopDown) -> Sequence[Instance]:
    """Return the labelled people of a training file, with the keypoints of `dataset`.

    Raises InputError for other keypoints, or where nobody can be used.
    """
    pose_file = load_pose_file(annotations)
    if dataset.by_name is not None:
        pose_file = onto(pose_file, dataset.by_name)
    if pose_file.skeleton.num_keypoints != dataset.skeleton.num_keypoints:
        raise InputError(f"{annotations}: has other keypoints than {dataset.annotations}")
    people = ground_truth_instances(pose_file)
    if not people:
        raise InputError(f"{annotations}: holds no person with labelled keypoints and a box")
    return people
