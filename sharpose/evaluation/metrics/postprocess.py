"""From raw detections to what is scored: one entry per box, rescored, near-duplicates removed (the mmpose protocol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from sharpose.data.annotations import PoseFile
from sharpose.runtime.fields import PositiveShare, Share, check_fields

Suppression = Literal["hard", "soft", "none"]
SCORE_THRESHOLD = 0.2
OKS_THRESHOLD = 0.9
SOFT_MAX_KEPT = 20


@dataclass(frozen=True)
class PostProcessing:
    """How raw detections become what is scored; the defaults are the protocol of the tables.

    nms: what becomes of rows whose OKS with a better one of the image is above `oks_threshold`: removed ("hard"), moved
    down the order ("soft"), or nothing ("none"). keypoint_threshold: keypoints score above it to count. Raises
    InputError for another word or a number out of range.
    """

    nms: Suppression = "hard"
    oks_threshold: PositiveShare = OKS_THRESHOLD
    keypoint_threshold: Share = SCORE_THRESHOLD

    def __post_init__(self) -> None:
        check_fields(self)

    def kept(self, oks: Float[np.ndarray, "N N"], scores: Float[np.ndarray, " N"]) -> list[int]:
        """Return rows of one image to report, best first."""
        if self.nms == "none":
            return [int(row) for row in _descending(scores)]
        return (soft_oks_nms if self.nms == "soft" else oks_nms)(oks, scores, self.oks_threshold)


PROTOCOL = PostProcessing()


def rescore(
    box_scores: Float[np.ndarray, " N"], keypoint_scores: Float[np.ndarray, "N K"], threshold: float = SCORE_THRESHOLD
) -> Float[np.ndarray, " N"]:
    """Return box score times the mean of the keypoint scores above `threshold`; 0 where none is."""
    confident = keypoint_scores > threshold
    total = np.where(confident, keypoint_scores, 0.0).sum(axis=1)
    rescored: np.ndarray = box_scores * total / np.maximum(confident.sum(axis=1), 1)
    return rescored


def oks_matrix(
    keypoints: Float[np.ndarray, "N K 2"], areas: Float[np.ndarray, " N"], sigmas: Sequence[float]
) -> Float[np.ndarray, "N N"]:
    """OKS between all pairs of detections, over all keypoints, relative to the mean of both areas (squared pixels)."""
    squared = ((keypoints[:, None] - keypoints[None]) ** 2).sum(axis=-1)
    mean_area = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    oks: np.ndarray = np.exp(-squared / (2 * np.asarray(sigmas)) ** 2 / mean_area[..., None] / 2).mean(axis=-1)
    return oks


def oks_nms(oks: Float[np.ndarray, "N N"], scores: Float[np.ndarray, " N"], threshold: float) -> list[int]:
    """Return rows to keep, best first: those whose OKS with every better kept row is at most `threshold`."""
    kept: list[int] = []
    for row in _descending(scores):
        if (oks[row, kept] <= threshold).all():
            kept.append(int(row))
    return kept


def soft_oks_nms(
    oks: Float[np.ndarray, "N N"], scores: Float[np.ndarray, " N"], threshold: float, max_kept: int = SOFT_MAX_KEPT
) -> list[int]:
    """Return at most `max_kept` rows, in order of scores that shrink by exp(-OKS^2 / threshold) with every row kept."""
    kept: list[int] = []
    rows = np.arange(len(scores))
    while len(rows) and len(kept) < max_kept:
        order = _descending(scores)
        rows, scores = rows[order], scores[order]
        best, rows = rows[0], rows[1:]
        kept.append(int(best))
        scores = scores[1:] * np.exp(-(oks[best, rows] ** 2) / threshold)
    return kept


@dataclass(frozen=True)
class Detections:
    """N people found in boxes, in any order. Points and areas (of the padded crop) in photograph pixels.

    `instance_ids`: of the boxes; those of an image that share one are one person, of whom the first row counts.
    """

    keypoints: Float[np.ndarray, "N K 2"]
    keypoint_scores: Float[np.ndarray, "N K"]
    box_scores: Float[np.ndarray, " N"]
    areas: Float[np.ndarray, " N"]
    image_ids: Int[np.ndarray, " N"]
    instance_ids: Int[np.ndarray, " N"]

    def reported(
        self, sigmas: Sequence[float], post_processing: PostProcessing = PROTOCOL
    ) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, " N"]]:
        """Return the rows to report and the final score of every row.

        Images are in order of first appearance, their best row first. Repeated boxes go first; then rescoring and OKS
        suppression per image.
        """
        scores = rescore(self.box_scores, self.keypoint_scores, post_processing.keypoint_threshold)
        kept: list[int] = []
        for rows in _rows_by_image(self.image_ids):
            unique = rows[np.unique(self.instance_ids[rows], return_index=True)[1]]
            oks = oks_matrix(self.keypoints[unique], self.areas[unique], sigmas)
            kept.extend(unique[post_processing.kept(oks, scores[unique])])
        return np.asarray(kept, dtype=np.int64), scores

    def coco_results(
        self, truth: PoseFile, post_processing: PostProcessing = PROTOCOL
    ) -> tuple[list[dict[str, Any]], Int[np.ndarray, " M"]]:
        """Return what is `reported`, by sigmas and category of `truth`, in COCO's format, and the row of each."""
        kept, final = self.reported(truth.skeleton.sigmas, post_processing)
        values = np.concatenate([self.keypoints, self.keypoint_scores[..., None]], axis=2).reshape(len(final), -1)
        results = [
            {
                "image_id": int(self.image_ids[row]),
                "category_id": truth.category_id,
                "keypoints": values[row].tolist(),
                "score": float(final[row]),
            }
            for row in kept
        ]
        return results, kept


def _rows_by_image(image_ids: Int[np.ndarray, " N"]) -> list[Int[np.ndarray, " n"]]:
    _, first, inverse = np.unique(image_ids, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(inverse))[:-1]) if len(image_ids) else []
    return [groups[i] for i in np.argsort(first)]


def _descending(scores: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    # of equal scores the later row comes first, which is what reversing an ascending sort does in the reference
    return np.argsort(scores, kind="stable")[::-1]
