"""Compare results files in COCO's format, from anyone's code, on the same annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sharpose.data.annotations import PoseFile, load_pose_file
from sharpose.evaluation.error_kinds import count_errors, rows_by_image
from sharpose.evaluation.metrics.coco_ap import RESAMPLES, CocoMetrics, coco_ap, load_results
from sharpose.evaluation.metrics.evaluators import Evaluator
from sharpose.evaluation.metrics.postprocess import SCORE_THRESHOLD, oks_matrix, oks_nms, rescore
from sharpose.evaluation.metrics.significance import Comparison, compare_replicates, holm
from sharpose.runtime.errors import InputError

Rows = Sequence[Mapping[str, Any]]
# a box holds about so much person, where no mask says it
BOX_SHARE = 0.53


@dataclass(frozen=True)
class Scored:
    """One results file: its COCO figures, AP of each keypoint alone, and how many are of each kind of error."""

    name: str
    metrics: CocoMetrics
    keypoint_ap: dict[str, float | None]
    errors: dict[str, int]
    errors_by_keypoint: dict[str, dict[str, int]]

    @property
    def facts(self) -> dict[str, Any]:
        """As plain data, without replicates."""
        low, high = self.metrics.bootstrap.interval() if self.metrics.bootstrap else (None, None)
        figures = {**self.metrics.values(), "ap_low": low, "ap_high": high, "results": self.metrics.num_results}
        kinds = {"errors": self.errors, "errors_by_keypoint": self.errors_by_keypoint}
        return {"name": self.name, **figures, "keypoint_ap": self.keypoint_ap, **kinds}


@dataclass(frozen=True)
class Compared:
    """Every file, and each later one against the first; p values are Holm's over these comparisons."""

    scored: list[Scored]
    comparisons: list[Comparison]

    @property
    def facts(self) -> dict[str, Any]:
        """As plain data; differences in AP as fractions."""
        against = [
            {"first": self.scored[0].name, "second": second.name, **asdict(one), "verdict": one.verdict}
            for second, one in zip(self.scored[1:], self.comparisons, strict=True)
        ]
        return {"files": [one.facts for one in self.scored], "comparisons": against}


def compare(
    paths: Sequence[Path],
    annotations: Path,
    *,
    margin: float = 0.005,
    resamples: int = RESAMPLES,
    evaluator: Evaluator = "pycocotools",
) -> Compared:
    """Score every results file, and compare each later one with the first. `margin`: an AP that nobody minds.

    Raises InputError for files that are no results on these annotations.
    """
    pose_file = load_pose_file(annotations)
    scored = [score_file(path, pose_file, resamples, evaluator) for path in paths]
    first, comparisons = scored[0].metrics, []
    for other in scored[1:]:
        a, b = first.bootstrap, other.metrics.bootstrap
        if a is None or b is None or first.ap is None or other.metrics.ap is None:
            raise InputError(f"{annotations}: nobody in it could be found, so nothing can be compared")
        value = other.metrics.ap - first.ap
        comparisons.append(compare_replicates(value, b.replicates - a.replicates, margin))
    adjusted = holm([one.p for one in comparisons])
    return Compared(scored, [replace(one, p=p) for one, p in zip(comparisons, adjusted, strict=True)])


def score_file(path: Path, pose_file: PoseFile, resamples: int, evaluator: Evaluator) -> Scored:
    """All figures of one results file. Raises InputError naming it."""
    results = load_results(path)
    try:
        metrics = coco_ap(pose_file, results, resamples=resamples, evaluator=evaluator)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    errors, by_keypoint = count_errors(pose_file, results)
    return Scored(str(path), metrics, ap_per_keypoint(pose_file, results, evaluator), errors, by_keypoint)


def ap_per_keypoint(pose_file: PoseFile, results: Rows, evaluator: Evaluator) -> dict[str, float | None]:
    """COCO's AP where one keypoint alone is labelled, by its name; None where nobody has it."""
    found = {}
    for place, name in enumerate(pose_file.skeleton.keypoint_names):
        rows = [only(row, place) for row in pose_file.annotations]
        found[name] = coco_ap(replace(pose_file, annotations=rows), results, resamples=0, evaluator=evaluator).ap
    return found


def only(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """An annotation with one labelled keypoint."""
    if "keypoints" not in row:
        return dict(row)
    points = np.asarray(row["keypoints"]).reshape(-1, 3).copy()
    points[np.arange(len(points)) != place, 2] = 0
    return {**row, "keypoints": points.ravel().tolist(), "num_keypoints": int(points[place, 2] > 0)}


def protocol_effects(path: Path, annotations: Path, *, evaluator: Evaluator = "pycocotools") -> dict[str, CocoMetrics]:
    """How far one results file moves by choices that papers seldom name: the score of a row, OKS-NMS, the area rule.

    Raises InputError for a file without a result.
    """
    pose_file, results = load_pose_file(annotations), load_results(path)
    if not results:
        raise InputError(f"{path}: holds no result")
    scores = np.asarray([row["keypoints"] for row in results], dtype=float).reshape(len(results), -1, 3)[:, :, 2]
    given = np.array([row["score"] for row in results], dtype=float)
    same = np.ones(len(results))
    rules = {
        "as given": given,
        "score: mean of the keypoints'": scores.mean(axis=1),
        f"score: mean of the keypoints' above {SCORE_THRESHOLD}": rescore(same, scores),
        "score: given, times that mean": rescore(given, scores),
        "score: the same for all": same,
    }
    rated: dict[str, Rows] = {name: with_scores(results, values) for name, values in rules.items()}
    rated |= {f"OKS-NMS above {at:g}": suppressed(results, pose_file, at) for at in (0.9, 0.7, 0.5)}
    figures = {name: coco_ap(pose_file, rows, resamples=0, evaluator=evaluator) for name, rows in rated.items()}
    boxed = [{**row, "area": BOX_SHARE * row["bbox"][2] * row["bbox"][3]} for row in pose_file.annotations]
    by_box = replace(pose_file, annotations=boxed)
    figures[f"area: {BOX_SHARE:g} of the box"] = coco_ap(by_box, results, resamples=0, evaluator=evaluator)
    return figures


def with_scores(results: Rows, scores: np.ndarray) -> list[dict[str, Any]]:
    """Return copies of results with other scores, in the same order. `scores`: (N,)."""
    return [{**row, "score": float(score)} for row, score in zip(results, scores, strict=True)]


def suppressed(results: Rows, pose_file: PoseFile, threshold: float) -> list[Mapping[str, Any]]:
    """Without near-duplicates; areas are those of the boxes around the keypoints."""
    kept: list[Mapping[str, Any]] = []
    for rows in rows_by_image(results).values():
        points = np.asarray([row["keypoints"] for row in rows], dtype=float).reshape(len(rows), -1, 3)[:, :, :2]
        areas = np.ptp(points, axis=1).prod(axis=1)
        oks = oks_matrix(points, areas, pose_file.skeleton.sigmas)
        kept += [rows[index] for index in oks_nms(oks, np.array([row["score"] for row in rows]), threshold)]
    return kept
