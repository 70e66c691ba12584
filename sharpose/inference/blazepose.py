"""MediaPipe's BlazePose as a peer: points from its own pipeline, run on the same crops as every model.

Its package ships two networks, so nothing is downloaded: a detector, which looks for a person in the crop, and one of
landmarks. It gives points, not heatmaps, so the flip test averages points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from sharpose.backends.extras import need
from sharpose.data.coco import CocoTopDown
from sharpose.inference.dataset import Predictions
from sharpose.pose.geometry import box_to_center_scale, crop, transform_points, udp_warp_matrix
from sharpose.runtime.errors import InputError
from sharpose.runtime.progress import Heard, unheard

LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Of its 33, those that COCO has, in COCO's order."""
INPUT = (256, 256)
"""What its network of landmarks takes."""
COMPLEXITY = 1
"""The one network of landmarks that ships inside the package, `full`."""


def version() -> str | None:
    """Return the installed version; None where there is none."""
    try:
        return metadata.version("mediapipe")
    except metadata.PackageNotFoundError:
        return None


@contextmanager
def landmarker() -> Iterator[Callable[[UInt8[np.ndarray, "H W 3"]], Float[np.ndarray, "17 3"] | None]]:
    """Return a function from an RGB picture to 17 rows (x, y, visibility), in pixels of the picture.

    It gives None where it sees nobody. Raises InputError without the package, or with a version that has these
    solutions no more.
    """
    package = need("mediapipe", "mediapipe")
    if not hasattr(package, "solutions"):
        raise InputError(f"mediapipe {version()}: has no solutions.pose any more; pip install 'sharpose[mediapipe]'")
    how = {"static_image_mode": True, "model_complexity": COMPLEXITY, "min_detection_confidence": 0.1}
    with package.solutions.pose.Pose(**how) as pose:

        def find(picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "17 3"] | None:
            found = pose.process(picture).pose_landmarks
            if found is None:
                return None
            height, width = picture.shape[:2]
            rows = [found.landmark[index] for index in LANDMARKS]
            # its coordinates are shares of the picture, from edge to edge
            return np.array([[row.x * width - 0.5, row.y * height - 0.5, row.visibility] for row in rows])

        yield find


def predict_blazepose(dataset: CocoTopDown, flip_test: bool = True, progress: Heard = unheard) -> Predictions:
    """Predict keypoints of every person of a data set with COCO's 17 keypoints, in its order.

    Where it sees nobody in a crop, every point lies in the crop's middle, with score 0. Raises InputError for other
    keypoints.
    """
    if dataset.skeleton.num_keypoints != len(LANDMARKS):
        raise InputError(f"{dataset.annotations}: needs COCO's 17 keypoints; match them by their names (--by-name)")
    points, areas = [], []
    with landmarker() as find:
        for number, person in enumerate(dataset.instances):
            center, scale = box_to_center_scale(person.bbox_xywh, INPUT, dataset.padding)
            matrix = udp_warp_matrix(center, scale, 0.0, INPUT)
            found = landmarks_of(find, crop(dataset.photograph(person.image_id), matrix, INPUT), flip_test, dataset)
            found[:, :2] = transform_points(found[:, :2], cv2.invertAffineTransform(matrix))
            points.append(found)
            areas.append(scale.prod())
            progress(number + 1, len(dataset))
    people = dataset.instances.columns
    return Predictions(
        keypoints=np.stack(points)[..., :2],
        keypoint_scores=np.stack(points)[..., 2],
        box_scores=people["box_score"],
        areas=np.array(areas),
        image_ids=people["image_id"],
        instance_ids=people["instance_id"],
    )


def landmarks_of(
    find: Callable[[np.ndarray], np.ndarray | None], picture: np.ndarray, flip_test: bool, dataset: CocoTopDown
) -> Float[np.ndarray, "17 3"]:
    """Return the keypoints found in a crop, with the flip test their mean with those found in the mirrored crop.

    `picture` is RGB (H, W, 3).
    """
    height, width = picture.shape[:2]
    answers = [find(picture)]
    mirrored = find(np.ascontiguousarray(picture[:, ::-1])) if flip_test else None
    if mirrored is not None:
        mirrored = mirrored[list(dataset.skeleton.flip_order)] * (-1, 1, 1) + (width - 1, 0, 0)
    seen = [answer for answer in (*answers, mirrored) if answer is not None]
    nobody = np.tile([(width - 1) / 2, (height - 1) / 2, 0.0], (len(LANDMARKS), 1))
    return np.mean(seen, axis=0) if seen else nobody
