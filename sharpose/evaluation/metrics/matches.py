"""Which prediction found which person, image by image, and average precision of resampled images from it.

The evaluators match predictions to people image by image; only the last step, ranking all of them, mixes images. So
each bootstrap replicate reuses the cached matches and repeats that step alone, with images counted as often as drawn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from sharpose.evaluation.metrics.evaluators import Matched

# replicates are ranked in blocks of about this many numbers, to bound memory
_BLOCK = 4_000_000
# OKS thresholds .50 and .75 among .50, .55 … .95
AP50, AP75 = 0, 5


@dataclass(frozen=True)
class Matches:
    """An evaluator's matches of all sizes of people, best-scored prediction first.

    image: for each prediction, the position of its image in `image_ids`; matched, ignored: per OKS threshold and
    prediction; people_ignored: per image, one flag per person that does not count; prediction_scores, prediction,
    shares: what each prediction is ranked by, its place among the results, how much of it counts (None: all of it).
    """

    image_ids: list[int]
    image: Int[np.ndarray, " D"]
    matched: Bool[np.ndarray, "T D"]
    ignored: Bool[np.ndarray, "T D"]
    people_ignored: list[list[bool]]
    recall_thresholds: Float[np.ndarray, " Q"]
    prediction_scores: Float[np.ndarray, " D"]
    prediction: Int[np.ndarray, " D"]
    shares: Float[np.ndarray, "*R D"] | None = None

    @classmethod
    def from_evaluation(cls, evaluation: Matched, size: int = 0) -> Matches:
        """Return the images with a person or a prediction, out of an evaluation that has been run.

        size: 0 for people of all sizes, 1 for medium, 2 for large ones, as COCO's keypoint protocol orders them.
        """
        params = evaluation.params
        sizes = list(params.areaRng[size])
        cells = [cell for cell in evaluation.evalImgs if cell is not None and list(cell["aRng"]) == sizes]
        most = params.maxDets[-1]
        scores = np.concatenate([cell["dtScores"][:most] for cell in cells]) if cells else np.zeros(0)
        order = np.argsort(-scores, kind="mergesort")
        ids = np.concatenate([cell["dtIds"][:most] for cell in cells]).astype(np.int64) if cells else np.zeros(0, int)
        image = np.repeat(np.arange(len(cells)), [len(cell["dtScores"][:most]) for cell in cells]).astype(np.int64)
        empty = np.zeros((len(params.iouThrs), 0))
        matched, ignored = (
            np.concatenate([empty, *(np.asarray(cell[name])[:, :most] for cell in cells)], axis=1) > 0
            for name in ("dtMatches", "dtIgnore")
        )
        return cls(
            image_ids=[int(cell["image_id"]) for cell in cells],
            image=image[order],
            matched=matched[:, order],
            ignored=ignored[:, order],
            people_ignored=[[bool(flag) for flag in cell["gtIgnore"]] for cell in cells],
            recall_thresholds=np.asarray(params.recThrs),
            prediction_scores=scores[order],
            # both evaluators number results from 1, in their order
            prediction=ids[order] - 1,
        )

    def among(self, image_ids: Collection[int]) -> Matches:
        """Return these matches among more images, on which there is nobody and no prediction."""
        every = sorted({*self.image_ids, *image_ids})
        people = dict(zip(self.image_ids, self.people_ignored, strict=True))
        place = np.searchsorted(every, self.image_ids).astype(np.int64)
        ignored = [people.get(image_id, []) for image_id in every]
        return replace(self, image_ids=every, image=place[self.image], people_ignored=ignored)

    def mixed(self, other: Matches, ours: Float[np.ndarray, "*R D"], theirs: Float[np.ndarray, "*R d"]) -> Matches:
        """Return the predictions of both with weights: `ours` for these, `theirs` for the other's.

        Weights of 0 and 1 choose between the two; several rows of weights are several choices, of which `ap` gives one
        value each. Raises ValueError unless both are of the same images and people.
        """
        if self.image_ids != other.image_ids or self.people_ignored != other.people_ignored:
            raise ValueError("only matches of the same images and people can be mixed")
        scores = np.concatenate([self.prediction_scores, other.prediction_scores])
        order = np.argsort(-scores, kind="mergesort")
        return replace(
            self,
            image=np.concatenate([self.image, other.image])[order],
            matched=np.concatenate([self.matched, other.matched], axis=1)[:, order],
            ignored=np.concatenate([self.ignored, other.ignored], axis=1)[:, order],
            prediction_scores=scores[order],
            prediction=np.concatenate([self.prediction, other.prediction])[order],
            shares=np.concatenate([ours, theirs], axis=-1)[..., order],
        )

    def ap(self, counts: Float[np.ndarray, "#R N"]) -> Float[np.ndarray, " R"]:
        """Return AP of each of R sets in which image n occurs counts[:, n] times; NaN for sets without a person."""
        return self.scores(counts)["ap"]

    def scores(self, counts: Float[np.ndarray, "#R N"]) -> dict[str, Float[np.ndarray, " R"]]:
        """AP, AP50, AP75 and AR of each of R sets in which image n occurs counts[:, n] times; NaN without a person."""
        people = counts @ np.array([sum(not flag for flag in flags) for flags in self.people_ignored], dtype=np.float64)
        weights = counts[:, self.image] if self.shares is None else counts[:, self.image] * self.shares
        reported = np.cumsum(weights, axis=1)
        levels = [self._precision(level, weights, reported, people) for level in range(len(self.matched))]
        precision, recall = (np.stack(part, axis=1) for part in zip(*levels, strict=True))
        values = {
            "ap": precision.reshape(len(weights), -1).mean(axis=1),
            "ap50": precision[:, AP50].mean(axis=1),
            "ap75": precision[:, AP75].mean(axis=1),
            "ar": recall.mean(axis=1),
        }
        return {name: np.where(people > 0, value, np.nan) for name, value in values.items()}

    def _precision(
        self,
        level: int,
        weights: Float[np.ndarray, "R D"],
        reported: Float[np.ndarray, "R D"],
        people: Float[np.ndarray, " #R"],
    ) -> tuple[Float[np.ndarray, "R Q"], Float[np.ndarray, " R"]]:
        """Return interpolated precision at every recall threshold, and the final recall, for one OKS threshold.

        It is computed where a person is found.

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
        final = recall[:, -1] if len(found) else np.zeros(len(weights))
        return np.take_along_axis(envelope, reached, axis=1), final

    def resampled_ap(self, resamples: int, seed: int) -> Float[np.ndarray, " R"]:
        """AP of `resamples` sets of images drawn with replacement; the draws depend on seed and image count alone."""
        return self.resampled(resamples, seed)["ap"]

    def resampled(self, resamples: int, seed: int) -> dict[str, Float[np.ndarray, " R"]]:
        """Return `scores` of `resamples` sets of images drawn with replacement, the same draws as `resampled_ap`."""
        images = len(self.image_ids)
        rng = np.random.default_rng(np.random.SeedSequence((seed, images)))
        block = max(1, _BLOCK // max(1, len(self.image)))
        replicates = []
        for start in range(0, resamples, block):
            size = min(block, resamples - start)
            drawn = rng.integers(0, images, (size, images)) + np.arange(size)[:, None] * images
            counts = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images).astype(np.float64)
            replicates.append(self.scores(counts))
        return {name: np.concatenate([block[name] for block in replicates]) for name in replicates[0]}
