"""Compare results files in COCO's format, from anyone's code, on the same annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from sharpose.data.annotations import PoseFile, load_pose_file
from sharpose.evaluation.error_kinds import count_errors
from sharpose.evaluation.metrics.coco_ap import RESAMPLES, CocoMetrics, Drawing, coco_ap, load_results
from sharpose.evaluation.metrics.evaluators import Evaluator
from sharpose.evaluation.metrics.significance import Comparison, compare_replicates, holm
from sharpose.runtime.errors import InputError

Rows = Sequence[Mapping[str, Any]]
MARGIN = 0.005
"""Difference in AP, as a fraction, within which two results are equivalent."""


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
        """Return it as plain data, without replicates."""
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
        """Return it as plain data; differences in AP as fractions."""
        against = [
            {"first": self.scored[0].name, "second": second.name, **asdict(one), "verdict": one.verdict}
            for second, one in zip(self.scored[1:], self.comparisons, strict=True)
        ]
        return {"files": [one.facts for one in self.scored], "comparisons": against}


def compare(
    paths: Sequence[Path],
    annotations: Path,
    *,
    margin: float = MARGIN,
    resamples: int = RESAMPLES,
    evaluator: Evaluator = "pycocotools",
) -> Compared:
    """Score every results file, and compare each later one with the first. `margin`: of equivalence, in AP.

    Raises InputError for files that are no results on these annotations.
    """
    pose_file = load_pose_file(annotations)
    files = {path: load_results(path) for path in paths}
    among = images_of(files.values())
    scored = [score_file(path, pose_file, files[path], evaluator, resamples=resamples, among=among) for path in paths]
    comparisons = []
    for other in scored[1:]:
        found = difference(scored[0].metrics, other.metrics, margin)
        if found is None:
            raise InputError(f"{annotations}: nobody in it could be found, so nothing can be compared")
        comparisons.append(found)
    adjusted = holm([one.p for one in comparisons])
    return Compared(scored, [replace(one, p=p) for one, p in zip(comparisons, adjusted, strict=True)])


def images_of(files: Iterable[Rows]) -> set[int]:
    """Return the images that any of several files has a result on: resamples of all of them are drawn from these."""
    return {found for rows in files for row in rows if isinstance(found := row.get("image_id"), int)}


def difference(first: CocoMetrics, other: CocoMetrics, margin: float = MARGIN) -> Comparison | None:
    """Return `other` minus `first` in AP, resampled `among` the same images; None where nobody is to be found."""
    a, b = first.bootstrap, other.bootstrap
    if a is None or b is None or first.ap is None or other.ap is None:
        return None
    assert a.image_ids == b.image_ids and a.seed == b.seed
    return compare_replicates(other.ap - first.ap, b.replicates - a.replicates, margin)


def score_file(path: Path, pose_file: PoseFile, results: Rows, evaluator: Evaluator, **how: Unpack[Drawing]) -> Scored:
    """Return all figures of one results file, as `coco_ap` has them. Raises InputError naming it."""
    try:
        metrics = coco_ap(pose_file, results, evaluator=evaluator, **how)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    errors, by_keypoint = count_errors(pose_file, results)
    return Scored(str(path), metrics, ap_per_keypoint(pose_file, results, evaluator), errors, by_keypoint)


def ap_per_keypoint(pose_file: PoseFile, results: Rows, evaluator: Evaluator) -> dict[str, float | None]:
    """Return COCO's AP where one keypoint alone is labelled, by its name; None where nobody has it."""
    found = {}
    for place, name in enumerate(pose_file.skeleton.keypoint_names):
        rows = [only(row, place) for row in pose_file.annotations]
        found[name] = coco_ap(replace(pose_file, annotations=rows), results, resamples=0, evaluator=evaluator).ap
    return found


def only(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Return an annotation with one labelled keypoint."""
    if "keypoints" not in row:
        return dict(row)
    points = np.asarray(row["keypoints"]).reshape(-1, 3).copy()
    points[np.arange(len(points)) != place, 2] = 0
    return {**row, "keypoints": points.ravel().tolist(), "num_keypoints": int(points[place, 2] > 0)}
