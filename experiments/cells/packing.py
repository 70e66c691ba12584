"""Predictions and annotations as small arrays: keypoints in twentieths of a pixel, scores in thousandths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sharpose.data.coco import CocoTopDown
    from sharpose.inference.dataset import Predictions

# at most 0.025 pixels and 0.0005 off, which moves AP by less than 0.1 points and keeps a record below 300 kB
PER_PIXEL, PER_SCORE = 20, 1000
Arrays = dict[str, np.ndarray]


def packed_arrays(coarse: Predictions, fine: Predictions, dataset: CocoTopDown) -> Arrays:
    """Return both stages of every person, and what they are judged by.

    Coarse keypoints are kept as their distance from the annotated ones and fine keypoints as theirs from the coarse
    ones, as small numbers pack well. `per_pixel` and `per_score` are the units, so that readers need not know them.
    """
    from sharpose.inference.stages import oks

    assert fine.quality is not None
    annotated = annotated_arrays(dataset)
    place = {identifier: row for row, identifier in enumerate(annotated["truth_ids"].tolist())}
    truth_rows = np.array([place[identifier] for identifier in fine.instance_ids.tolist()])
    truth = annotated["truth_keypoints"].astype(np.int64)[truth_rows]
    coarse_points, fine_points = (fixed(stage.keypoints, PER_PIXEL) for stage in (coarse, fine))
    return {
        **annotated,
        "per_pixel": np.array(PER_PIXEL),
        "per_score": np.array(PER_SCORE),
        "truth_rows": smallest(truth_rows),
        "box_scores": fine.box_scores.astype(np.float32),
        "areas": fine.areas.astype(np.float32),
        "quality": fine.quality.astype(np.float32),
        "coarse_oks": oks(coarse.keypoints, dataset).astype(np.float32),
        "fine_oks": oks(fine.keypoints, dataset).astype(np.float32),
        "coarse_minus_truth": smallest(coarse_points - truth),
        "fine_minus_coarse": smallest(fine_points - coarse_points),
        "coarse_scores": smallest(fixed(coarse.keypoint_scores, PER_SCORE)),
        "fine_scores": smallest(fixed(fine.keypoint_scores, PER_SCORE)),
    }


def annotated_arrays(dataset: CocoTopDown) -> Arrays:
    """Return all that COCO's protocol reads of the annotations, crowds and people without keypoints included."""
    rows = dataset.pose_file.annotations
    nothing = [0.0] * (3 * dataset.skeleton.num_keypoints)
    points = np.array([row.get("keypoints") or nothing for row in rows], dtype=np.float64).reshape(len(rows), -1, 3)
    return {
        "all_image_ids": smallest(np.array(list(dataset.images))),
        "truth_ids": smallest(np.array([row["id"] for row in rows])),
        "truth_image_ids": smallest(np.array([row["image_id"] for row in rows])),
        "truth_bbox_xywh": np.array([row["bbox"] for row in rows], dtype=np.float64),
        "truth_areas": np.array([row.get("area", row["bbox"][2] * row["bbox"][3]) for row in rows], dtype=np.float64),
        "truth_crowd": np.array([bool(row.get("iscrowd", 0)) for row in rows]),
        "truth_num_keypoints": np.array([row.get("num_keypoints", -1) for row in rows]),
        "truth_keypoints": smallest(fixed(points[..., :2], PER_PIXEL)),
        "truth_visibility": points[..., 2].astype(np.uint8),
    }


def category(dataset: CocoTopDown) -> dict[str, Any]:
    """Return the keypoints' names, and the spread that OKS takes for each."""
    skeleton = dataset.skeleton
    names = list(skeleton.keypoint_names)
    return {"id": dataset.category_id, "name": "person", "keypoints": names, "sigmas": list(skeleton.sigmas)}


def fixed(values: np.ndarray, per_unit: int) -> np.ndarray:
    """Return numbers in fixed point. Arrays of any shape, which stays."""
    return np.rint(values * per_unit).astype(np.int64)


def smallest(values: np.ndarray) -> np.ndarray:
    """Return whole numbers in the fewest bits. Arrays of any shape, which stays."""
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    return values.astype(np.result_type(np.min_scalar_type(low), np.min_scalar_type(high)))
