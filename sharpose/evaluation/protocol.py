"""How far one set of predictions moves by choices that papers seldom name, against the same people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from sharpose.data.annotations import PoseFile, load_pose_file
from sharpose.evaluation.compare import Rows, difference, images_of
from sharpose.evaluation.error_kinds import rows_by_image
from sharpose.evaluation.metrics.coco_ap import CocoMetrics, Scoring, check_results, coco_ap, load_results
from sharpose.evaluation.metrics.postprocess import SCORE_THRESHOLD, oks_matrix, oks_nms, rescore
from sharpose.evaluation.metrics.significance import Comparison
from sharpose.runtime.errors import InputError

# a box holds about so much person, where no mask says it
BOX_SHARE = 0.53
OKS_THRESHOLDS = (0.9, 0.7, 0.5)


@dataclass(frozen=True)
class Effect:
    """One choice: its figures, and what it moves AP by against the first one; None where nobody is to be found."""

    metrics: CocoMetrics
    moved: Comparison | None

    @property
    def facts(self) -> dict[str, float | None]:
        """Return it as plain data, fractions: COCO's ten figures, and the difference in AP with its paired interval."""
        value, low, high = (getattr(self.moved, name, None) for name in ("value", "low", "high"))
        return {**self.metrics.values(), "moved": value, "moved_low": low, "moved_high": high}


def file_effects(path: Path, annotations: Path, **how: Unpack[Scoring]) -> dict[str, Effect]:
    """Return what the score of a row, OKS-NMS and the area rule do to a results file; what it is as given comes first.

    Raises InputError for a file without a result, or with one that cannot be scored.
    """
    pose_file, results = load_pose_file(annotations), load_results(path)
    if not results:
        raise InputError(f"{path}: holds no result")
    try:
        check_results(results, pose_file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    given = np.array([row["score"] for row in results], dtype=float)
    choices: dict[str, Rows] = {"as given": results, **scored_otherwise(results)}
    choices["score: given, times that mean"] = with_scores(results, rescore(given, keypoint_scores(results)))
    choices |= {f"OKS-NMS above {at:g}": suppressed(results, pose_file, at) for at in OKS_THRESHOLDS}
    return effects(pose_file, choices, **how)


def effects(pose_file: PoseFile, choices: Mapping[str, Rows], **how: Unpack[Scoring]) -> dict[str, Effect]:
    """Return every choice's results against the first's, and these again where an area is a share of the box.

    `how` is as in `coco_ap`.
    """
    base, *_ = choices.values()
    how |= {"among": images_of(choices.values())}
    figures = {name: coco_ap(pose_file, results, **how) for name, results in choices.items()}
    boxed = [{**row, "area": BOX_SHARE * row["bbox"][2] * row["bbox"][3]} for row in pose_file.annotations]
    figures[f"area: {BOX_SHARE:g} of the box"] = coco_ap(replace(pose_file, annotations=boxed), base, **how)
    first, *_ = figures.values()
    return {name: Effect(found, difference(first, found)) for name, found in figures.items()}


def scored_otherwise(results: Rows) -> dict[str, Rows]:
    """Return the same results by rules of a row's score that need nothing but its keypoints'."""
    scores, same = keypoint_scores(results), np.ones(len(results))
    rules = {
        "score: the same for all": same,
        "score: mean of the keypoints'": scores.mean(axis=1),
        f"score: mean of the keypoints' above {SCORE_THRESHOLD}": rescore(same, scores),
    }
    return {name: with_scores(results, values) for name, values in rules.items()}


def keypoint_scores(results: Rows) -> Float[np.ndarray, "N K"]:
    """Return the score of every keypoint of every result."""
    return np.asarray([row["keypoints"] for row in results], dtype=float).reshape(len(results), -1, 3)[:, :, 2]


def with_scores(results: Rows, scores: np.ndarray) -> list[dict[str, Any]]:
    """Return copies of results with other scores, in the same order. `scores`: (N,)."""
    return [{**row, "score": float(score)} for row, score in zip(results, scores, strict=True)]


def suppressed(results: Rows, pose_file: PoseFile, threshold: float) -> list[Mapping[str, Any]]:
    """Return results after OKS-NMS at `threshold`; areas are those of the boxes around the keypoints."""
    kept: list[Mapping[str, Any]] = []
    for rows in rows_by_image(results).values():
        points = np.asarray([row["keypoints"] for row in rows], dtype=float).reshape(len(rows), -1, 3)[:, :, :2]
        areas = np.ptp(points, axis=1).prod(axis=1)
        oks = oks_matrix(points, areas, pose_file.skeleton.sigmas)
        kept += [rows[index] for index in oks_nms(oks, np.array([row["score"] for row in rows]), threshold)]
    return kept
