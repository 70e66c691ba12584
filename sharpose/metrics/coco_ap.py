"""COCO keypoint average precision by pycocotools, and bootstrap intervals over images, paired between models.

pycocotools matches predictions to people image by image; only the last step, ranking all of them, mixes images. So each
bootstrap replicate reuses the cached matches and repeats that step alone, with images counted as often as drawn.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools.coco import COCO as CocoIndex
from pycocotools.cocoeval import COCOeval

from sharpose.data.annotations import PoseFile, load_pose_file, parse_pose_file, read_json
from sharpose.errors import InputError

RESAMPLES = 1000
CONFIDENCE = 0.95
# replicates are ranked in blocks of about this many numbers, to bound memory
_BLOCK = 4_000_000

_NAMES = ("ap", "ap50", "ap75", "ap_m", "ap_l", "ar", "ar50", "ar75", "ar_m", "ar_l")


@dataclass(frozen=True)
class Bootstrap:
    """AP of resampled sets of images. The same seed and images give the same resamples, whatever the model."""

    replicates: Float[np.ndarray, " R"]
    image_ids: tuple[int, ...]
    seed: int

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Percentile interval; replicates without a person to find do not count."""
        return _percentiles(self.replicates, confidence)


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
        """The ten COCO figures by name."""
        return {name: getattr(self, name) for name in _NAMES}


@dataclass(frozen=True)
class Difference:
    """AP of the second minus AP of the first, with its paired percentile interval."""

    value: float
    low: float
    high: float


def coco_ap(
    annotations: Path | str | Mapping[str, Any] | PoseFile,
    results: Sequence[Mapping[str, Any]],
    *,
    sigmas: Sequence[float] | None = None,
    image_ids: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> CocoMetrics:
    """Evaluate results in COCO's keypoint format against annotations.

    sigmas: one per keypoint; None takes the annotation file's (COCO's by name). image_ids: evaluate on these images
    only; None is the protocol, every image of the annotations. resamples: 0 for no bootstrap. Raises InputError.
    """
    pose_file = annotations_of(annotations)
    _check_results(results, pose_file)
    chosen = set(pose_file.images if image_ids is None else image_ids)
    kept = [dict(row) for row in results if row["image_id"] in chosen]
    evaluation = _evaluate(pose_file, kept, sorted(chosen), sigmas or pose_file.skeleton.sigmas)
    # pycocotools marks classes without anybody with -1
    values = (None if value < 0 else float(value) for value in evaluation.stats)
    matches = Matches.from_evaluation(evaluation)
    bootstrap = None
    if resamples and len(matches.image_ids):
        bootstrap = Bootstrap(matches.resampled_ap(resamples, seed), tuple(matches.image_ids), seed)
    people = sum(not ignored for row in matches.people_ignored for ignored in row)
    return CocoMetrics(
        **dict(zip(_NAMES, values, strict=True)),
        num_images=len(chosen),
        num_people=people,
        num_results=len(kept),
        bootstrap=bootstrap,
    )


def load_results(path: Path) -> list[dict[str, Any]]:
    """A results file in COCO's keypoint format. Raises InputError."""
    results = read_json(path)
    if not isinstance(results, list) or not all(isinstance(row, dict) for row in results):
        raise InputError(f"{path}: must be a list of results (image_id, category_id, keypoints, score)")
    return results


def paired_difference(first: CocoMetrics, second: CocoMetrics, confidence: float = CONFIDENCE) -> Difference:
    """How much higher the second AP is, on the same resampled images; ValueError where they were not the same."""
    a, b = first.bootstrap, second.bootstrap
    if a is None or b is None or first.ap is None or second.ap is None:
        raise ValueError("a paired difference needs two evaluations with bootstrap")
    if (a.image_ids, a.seed, len(a.replicates)) != (b.image_ids, b.seed, len(b.replicates)):
        raise ValueError("a paired difference needs the same images, seed and number of resamples")
    return Difference(second.ap - first.ap, *_percentiles(b.replicates - a.replicates, confidence))


@dataclass(frozen=True)
class Matches:
    """pycocotools' matches of all sizes of people, best-scored prediction first.

    image: for each prediction, the position of its image in `image_ids`; matched, ignored: per OKS threshold and
    prediction; people_ignored: per image, one flag per person that does not count.
    """

    image_ids: list[int]
    image: Int[np.ndarray, " D"]
    matched: Bool[np.ndarray, "T D"]
    ignored: Bool[np.ndarray, "T D"]
    people_ignored: list[list[bool]]
    recall_thresholds: Float[np.ndarray, " Q"]

    @classmethod
    def from_evaluation(cls, evaluation: COCOeval) -> Matches:
        """The images with a person or a prediction, out of an evaluation that has been run."""
        params = evaluation.params
        cells = [cell for cell in evaluation.evalImgs[: len(params.imgIds)] if cell is not None]
        most = params.maxDets[-1]
        scores = np.concatenate([cell["dtScores"][:most] for cell in cells]) if cells else np.zeros(0)
        order = np.argsort(-scores, kind="mergesort")
        image = np.repeat(np.arange(len(cells)), [len(cell["dtScores"][:most]) for cell in cells]).astype(np.int64)
        empty = np.zeros((len(params.iouThrs), 0))
        matched = np.concatenate([empty, *(cell["dtMatches"][:, :most] for cell in cells)], axis=1) > 0
        ignored = np.concatenate([empty, *(cell["dtIgnore"][:, :most] for cell in cells)], axis=1) > 0
        return cls(
            image_ids=[int(cell["image_id"]) for cell in cells],
            image=image[order],
            matched=matched[:, order],
            ignored=ignored[:, order],
            people_ignored=[[bool(flag) for flag in cell["gtIgnore"]] for cell in cells],
            recall_thresholds=np.asarray(params.recThrs),
        )

    def ap(self, counts: Float[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
        """AP of each of R sets in which image n occurs counts[:, n] times; NaN for sets without a person."""
        people = counts @ np.array([sum(not flag for flag in flags) for flags in self.people_ignored], dtype=np.float64)
        weights = counts[:, self.image]
        reported = np.cumsum(weights, axis=1)
        levels = [self._precision(level, weights, reported, people) for level in range(len(self.matched))]
        values = np.stack(levels, axis=1).reshape(len(counts), -1).mean(axis=1)
        return np.where(people > 0, values, np.nan)

    def _precision(
        self, level: int, weights: np.ndarray, reported: np.ndarray, people: np.ndarray
    ) -> Float[np.ndarray, "R Q"]:
        """Interpolated precision at every recall threshold for one OKS threshold, looked at where a person is found.

        A prediction on an image drawn n times counts n times at once. That equals n separate entries: within a run of
        right ones precision only rises and the envelope takes its end, within a run of wrong ones recall stands still.
        """
        found = np.flatnonzero(self.matched[level] & ~self.ignored[level])
        ignored = np.flatnonzero(self.ignored[level])
        ignored_before = np.zeros((len(weights), len(ignored) + 1))
        np.cumsum(weights[:, ignored], axis=1, out=ignored_before[:, 1:])
        right = np.cumsum(weights[:, found], axis=1)
        wrong = reported[:, found] - ignored_before[:, np.searchsorted(ignored, found)] - right
        recall = right / np.maximum(people, 1)[:, None]
        precision = right / (wrong + right + np.spacing(1))
        envelope = np.zeros((len(weights), len(found) + 1))
        envelope[:, :-1] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.stack([np.searchsorted(row, self.recall_thresholds, side="left") for row in recall])
        return np.take_along_axis(envelope, reached, axis=1)

    def resampled_ap(self, resamples: int, seed: int) -> Float[np.ndarray, " R"]:
        """AP of `resamples` sets of images drawn with replacement; the draws depend on seed and image count alone."""
        images = len(self.image_ids)
        rng = np.random.default_rng(np.random.SeedSequence((seed, images)))
        block = max(1, _BLOCK // max(1, len(self.image)))
        replicates = []
        for start in range(0, resamples, block):
            size = min(block, resamples - start)
            drawn = rng.integers(0, images, (size, images)) + np.arange(size)[:, None] * images
            counts = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.float64)
            replicates.append(self.ap(counts))
        return np.concatenate(replicates)


def annotations_of(annotations: Path | str | Mapping[str, Any] | PoseFile) -> PoseFile:
    """A checked annotation file from a path or its content. Raises InputError."""
    if isinstance(annotations, PoseFile):
        return annotations
    if isinstance(annotations, Mapping):
        return parse_pose_file(dict(annotations), Path("annotations"))
    return load_pose_file(Path(annotations))


def _check_results(results: Sequence[Mapping[str, Any]], pose_file: PoseFile) -> None:
    length = 3 * pose_file.skeleton.num_keypoints
    for number, row in enumerate(results):
        if not isinstance(row.get("image_id"), int) or row["image_id"] not in pose_file.images:
            raise InputError(f"results[{number}].image_id {row.get('image_id')!r} is not an image of {pose_file.path}")
        keypoints = row.get("keypoints")
        if not isinstance(keypoints, list) or len(keypoints) != length or not _finite(keypoints):
            raise InputError(f"results[{number}].keypoints must be {length} finite numbers")
        if not _finite([row.get("score")]):
            raise InputError(f"results[{number}].score must be a finite number, not {row.get('score')!r}")


def _finite(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _evaluate(
    pose_file: PoseFile, results: list[dict[str, Any]], image_ids: list[int], sigmas: Sequence[float]
) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = CocoIndex()
        truth.dataset = {
            "images": [{"id": image_id} for image_id in pose_file.images],
            "categories": [{"id": pose_file.category_id, "name": "person"}],
            # counted from 1: pycocotools takes a match with annotation 0 for no match
            "annotations": [{**_truth_row(row, pose_file), "id": n} for n, row in enumerate(pose_file.annotations, 1)],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, _index_results(truth, results, pose_file.category_id), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        evaluation.params.imgIds = image_ids
        evaluation.params.catIds = [pose_file.category_id]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _truth_row(row: Mapping[str, Any], pose_file: PoseFile) -> dict[str, Any]:
    keypoints = row.get("keypoints") or [0] * (3 * pose_file.skeleton.num_keypoints)
    return {
        "image_id": row["image_id"],
        "category_id": pose_file.category_id,
        "iscrowd": int(bool(row.get("iscrowd", 0))),
        "bbox": row["bbox"],
        "area": row.get("area", row["bbox"][2] * row["bbox"][3]),
        "keypoints": keypoints,
        "num_keypoints": row.get("num_keypoints", sum(v > 0 for v in keypoints[2::3])),
    }


def _index_results(truth: CocoIndex, results: list[dict[str, Any]], category_id: int) -> CocoIndex:
    rows = [
        {
            "image_id": row["image_id"],
            "category_id": category_id,
            "keypoints": row["keypoints"],
            "score": row["score"],
        }
        for row in results
    ]
    if rows:
        return truth.loadRes(rows)
    empty = CocoIndex()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)
