"""COCO's average precision of keypoints and of boxes, with bootstrap intervals over images, paired between models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float

from sharpose.data.annotations import PoseFile, load_pose_file, parse_pose_file, read_rows
from sharpose.evaluation.metrics.evaluators import Evaluator, Matched, match
from sharpose.evaluation.metrics.matches import Matches
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import is_number

RESAMPLES = 1000
CONFIDENCE = 0.95
# people of any other size count for nothing, in COCO's evaluation (squared pixels)
_LARGEST_AREA = 1e5**2

_NAMES = ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar", "ar50", "ar75", "ar_m", "ar_l")


@dataclass(frozen=True)
class Bootstrap:
    """AP of resampled sets of images. The same seed and images give the same resamples, whatever the model.

    intervals: percentile intervals of COCO's other figures by name, where they were asked for.
    """

    replicates: Float[np.ndarray, " R"]
    image_ids: tuple[int, ...]
    seed: int
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def interval(self) -> tuple[float, float]:
        """Return the percentile interval; replicates without a person to find do not count."""
        return _percentiles(self.replicates)


@dataclass(frozen=True)
class CocoMetrics:
    """Fractions from 0 to 1; None where no person falls into the class (small sets without large people, say)."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_m: float | None
    ap_l: float | None
    ar: float | None
    ar50: float | None
    ar75: float | None
    ar_m: float | None
    ar_l: float | None
    num_images: int
    num_people: int
    num_results: int
    bootstrap: Bootstrap | None = None

    def values(self) -> dict[str, float | None]:
        """Return the ten COCO figures by name."""
        return {name: getattr(self, name) for name in _NAMES}


class Drawing(TypedDict, total=False):
    """How `coco_ap` draws resamples of images."""

    resamples: int
    seed: int
    among: Collection[int]


class Scoring(Drawing, total=False):
    """Options of `coco_ap` that callers hand on."""

    evaluator: Evaluator


def coco_ap(
    annotations: Path | str | Mapping[str, Any] | PoseFile,
    results: Sequence[Mapping[str, Any]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    evaluator: Evaluator = "pycocotools",
    every_interval: bool = False,
    among: Collection[int] = (),
) -> CocoMetrics:
    """Evaluate results in COCO's keypoint format against annotations.

    resamples: 0 for no bootstrap. evaluator: both give the same numbers, "hotcoco" sooner. every_interval: also for
    AP50, AP75, AP_M, AP_L and AR. among: images to draw resamples from as well, though they hold nobody and no result:
    replicates are paired where they were drawn from the same images. Raises InputError.
    """
    pose_file = annotations_of(annotations)
    evaluation = _matched(pose_file, results, evaluator)
    # classes without anybody are marked with -1
    values = (None if value < 0 else float(value) for value in evaluation.stats)
    return CocoMetrics(
        **dict(zip(_NAMES, values, strict=True)),
        num_images=len(pose_file.images),
        num_people=sum(map(_counts, pose_file.annotations)),
        num_results=len(results),
        bootstrap=_bootstrap(evaluation, resamples, seed, every_interval, among) if resamples else None,
    )


def keypoint_matches(pose_file: PoseFile, results: Sequence[Mapping[str, Any]]) -> Matches:
    """Return which results found which person on the images of the annotations. Raises InputError."""
    return Matches.from_evaluation(_matched(pose_file, results, "pycocotools"))


def _matched(pose_file: PoseFile, results: Sequence[Mapping[str, Any]], evaluator: Evaluator) -> Matched:
    check_results(results, pose_file)
    known, keys = {"category_id": pose_file.category_id}, ("image_id", "keypoints", "score")
    rows = [{**known, **{key: row[key] for key in keys}} for row in results]
    images, sigmas = sorted(pose_file.images), pose_file.skeleton.sigmas
    return match(evaluator, "keypoints", truth_of(pose_file), rows, images, sigmas)


def box_ap(pose_file: PoseFile, detections: Sequence[Mapping[str, Any]]) -> float | None:
    """COCO's AP of boxes (IoU .50 to .95) on every image of the annotations, by pycocotools; None without anybody.

    detections: checked rows with image_id, bbox and score; crowds are ignored regions, people without keypoints count.
    """
    keys = ("image_id", "bbox", "score")
    rows = [{"category_id": pose_file.category_id, **{key: row[key] for key in keys}} for row in detections]
    value = match("pycocotools", "bbox", truth_of(pose_file), rows, sorted(pose_file.images)).stats[0]
    return None if value < 0 else float(value)


def load_results(path: Path) -> list[dict[str, Any]]:
    """Read a results file in COCO's keypoint format. Raises InputError."""
    return read_rows(path, "results (image_id, category_id, keypoints, score)")


def annotations_of(annotations: Path | str | Mapping[str, Any] | PoseFile) -> PoseFile:
    """Return a checked annotation file from a path or its content. Raises InputError."""
    if isinstance(annotations, PoseFile):
        return annotations
    if isinstance(annotations, Mapping):
        return parse_pose_file(dict(annotations), Path("annotations"))
    return load_pose_file(Path(annotations))


def check_results(results: Sequence[Mapping[str, Any]], pose_file: PoseFile) -> None:
    """Raise InputError, naming row and field, for a result that cannot be scored."""
    length = 3 * pose_file.skeleton.num_keypoints
    for number, row in enumerate(results):
        if type(row.get("image_id")) is not int or row["image_id"] not in pose_file.images:
            raise InputError(f"results[{number}].image_id {row.get('image_id')!r} is not an image of {pose_file.path}")
        keypoints = row.get("keypoints")
        if not isinstance(keypoints, list) or len(keypoints) != length or not all(map(is_number, keypoints)):
            raise InputError(
                f"results[{number}].keypoints must be {length} finite numbers: x, y and score of every keypoint"
            )
        if not is_number(row.get("score")):
            raise InputError(f"results[{number}].score must be a finite number, not {row.get('score')!r}")


def truth_of(pose_file: PoseFile) -> dict[str, Any]:
    """The people of a file as the evaluators want them: one category, annotations counted from 1, areas filled in."""
    return {
        "images": [{"id": image_id} for image_id in pose_file.images],
        "categories": [{"id": pose_file.category_id, "name": "person"}],
        "annotations": [{**_truth_row(row, pose_file), "id": n} for n, row in enumerate(pose_file.annotations, 1)],
    }


def _counts(row: Mapping[str, Any]) -> bool:
    """Return whether a person is one to find, at any size."""
    return not row["iscrowd"] and row["num_keypoints"] > 0 and 0 <= row["area"] <= _LARGEST_AREA


def _bootstrap(
    evaluation: Matched, resamples: int, seed: int, every_interval: bool, among: Collection[int]
) -> Bootstrap | None:
    matches = Matches.from_evaluation(evaluation).among(among)
    if not matches.image_ids:
        return None
    scores = matches.resampled(resamples, seed)
    replicates = scores.pop("ap")
    # nobody to find: there is no AP, and no interval either
    if np.isnan(replicates).all():
        return None
    if every_interval:
        for size, name in enumerate(("ap_m", "ap_l"), 1):
            scores[name] = Matches.from_evaluation(evaluation, size).among(among).resampled_ap(resamples, seed)
    known = {name: values for name, values in scores.items() if every_interval and not np.isnan(values).all()}
    intervals = {name: _percentiles(values) for name, values in known.items()}
    return Bootstrap(replicates, tuple(matches.image_ids), seed, intervals)


def _truth_row(row: Mapping[str, Any], pose_file: PoseFile) -> dict[str, Any]:
    keys = ("image_id", "category_id", "iscrowd", "bbox", "area")
    nothing = [0] * (3 * pose_file.skeleton.num_keypoints)
    known = {"keypoints": list(row.get("keypoints") or nothing), "num_keypoints": row.get("num_keypoints") or 0}
    return {**{key: row[key] for key in keys}, **known}


def _percentiles(values: Float[np.ndarray, " R"]) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)
