"""What one pass stored of both stages, and the average precision of any choice between them. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from results.packed import unpack
from results.records import Record, StoreError
from sharpose.data.annotations import PoseFile
from sharpose.evaluation.metrics.coco_ap import CocoMetrics, annotations_of, coco_ap, keypoint_matches
from sharpose.evaluation.metrics.matches import Matches
from sharpose.evaluation.metrics.postprocess import Detections

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """Both stages of N people with K keypoints, stage 0 coarse and 1 fine. Points in photograph pixels."""

    keypoints: Array  # (2, N, K, 2)
    scores: Array  # (2, N, K)
    oks: Array  # (2, N)
    quality: Array  # (N,)
    image_ids: Array
    instance_ids: Array
    box_scores: Array
    areas: Array
    truth: PoseFile

    def choose(self, refined: Array) -> list[dict[str, Any]]:
        """Return COCO's results: the fine stage's for `refined` people, bool (N,), the coarse one's for others."""
        return self.chosen(refined)[0]

    def chosen(self, refined: Array) -> tuple[list[dict[str, Any]], Array]:
        """Return COCO's results and the person of each; near-duplicates are removed, so some people may have none.

        `refined`: bool (N,).
        """
        stage, people = refined.astype(int), np.arange(len(refined))
        found = Detections(
            keypoints=self.keypoints[stage, people],
            keypoint_scores=self.scores[stage, people],
            box_scores=self.box_scores,
            areas=self.areas,
            image_ids=self.image_ids,
            instance_ids=self.instance_ids,
        )
        return found.coco_results(self.truth)

    def matches(self, refined: Array) -> tuple[Matches, Array]:
        """Return the matches of results and people, and the person of every prediction. `refined`: bool (N,)."""
        results, people = self.chosen(refined)
        found = keypoint_matches(self.truth, results)
        return found, people[found.prediction]

    def ap(self, refined: Array, resamples: int) -> CocoMetrics:
        """Return COCO's figures of a choice; the same seed and images every time, so that choices pair.

        `refined`: bool (N,).
        """
        return coco_ap(self.truth, self.choose(refined), resamples=resamples)


def read_predictions(record: Record) -> Predictions:
    """Unpack a record of the measure `predictions`. Raises StoreError when it lacks an array."""
    arrays = unpack(record.metrics.get("arrays", ""))
    try:
        per_pixel, per_score = float(arrays["per_pixel"]), float(arrays["per_score"])
        people = arrays["truth_rows"]
        coarse = arrays["truth_keypoints"].astype(np.int64)[people] + arrays["coarse_minus_truth"]
        return Predictions(
            keypoints=np.stack([coarse, coarse + arrays["fine_minus_coarse"]]) / per_pixel,
            scores=np.stack([arrays["coarse_scores"], arrays["fine_scores"]]) / per_score,
            oks=np.stack([arrays["coarse_oks"], arrays["fine_oks"]]).astype(np.float64),
            # in single precision, in which the model compares it with its threshold
            quality=arrays["quality"],
            image_ids=arrays["truth_image_ids"][people].astype(np.int64),
            instance_ids=arrays["truth_ids"][people].astype(np.int64),
            box_scores=arrays["box_scores"].astype(np.float64),
            areas=arrays["areas"].astype(np.float64),
            truth=annotations_of(annotation_file(arrays, record.metrics["category"], per_pixel)),
        )
    except KeyError as error:
        raise StoreError(
            f"record {record.run_id}: lacks {error}; measure it again with `sharpose run --again`"
        ) from None


def annotation_file(arrays: Mapping[str, Array], category: Mapping[str, Any], per_pixel: float) -> dict[str, Any]:
    """Return the annotation file that the arrays stand for, as far as COCO's protocol reads it.

    Per person A: points (A, K, 2), boxes (A, 4), everything else (A,) or, of keypoints, (A, K).
    """
    points, seen = arrays["truth_keypoints"] / per_pixel, arrays["truth_visibility"]
    rows: list[dict[str, Any]] = []
    for number, labelled in enumerate(arrays["truth_num_keypoints"].tolist()):
        row = {
            "id": int(arrays["truth_ids"][number]),
            "image_id": int(arrays["truth_image_ids"][number]),
            "category_id": category["id"],
            "iscrowd": int(arrays["truth_crowd"][number]),
            "area": float(arrays["truth_areas"][number]),
            "bbox": arrays["truth_bbox_xywh"][number].tolist(),
            "keypoints": np.column_stack([points[number], seen[number]]).ravel().tolist(),
        }
        rows.append(row if labelled < 0 else {**row, "num_keypoints": labelled})
    images = [{"id": image, "file_name": f"{image}.jpg"} for image in arrays["all_image_ids"].tolist()]
    return {"images": images, "annotations": rows, "categories": [dict(category)]}
