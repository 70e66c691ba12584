"""Who is who from frame to frame of a video, and keypoints that do not tremble.

A person is whoever of the last second is most alike, by the mean of the boxes' IoU and the keypoints' OKS, each of both
at most once (the assignment of the largest sum). The one-euro filter (Casiez et al., CHI 2012) averages the more the
slower a point moves; speeds count in box heights, so that the size of a person does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from pycocotools.mask import iou
from scipy.optimize import linear_sum_assignment

from sharpose.evaluation.metrics.postprocess import oks_matrix
from sharpose.inference.pose import Person

LEAST_ALIKE, REMEMBERED_S = 0.2, 1.0
CUTOFF_HZ, CUTOFF_PER_SPEED, SPEED_CUTOFF_HZ = 1.5, 4.0, 1.0
"""Frequencies above the cut-off are damped; it grows with the speed, in box heights a second."""


@dataclass
class Track:
    """A person of earlier frames: the last sight, when it was, and the filter of the keypoints."""

    number: int
    last: Person
    time: float
    smooth: OneEuro


class OneEuro:
    """The filter of one person's keypoints (K, 2), frame by frame."""

    def __init__(self, points: Float[np.ndarray, "K 2"]) -> None:
        self.points, self.speed = points, np.zeros_like(points)

    def __call__(self, points: Float[np.ndarray, "K 2"], seconds: float, height: float) -> Float[np.ndarray, "K 2"]:
        """Return filtered points, `seconds` after the last ones."""
        if seconds > 0:
            self.speed += weight(SPEED_CUTOFF_HZ, seconds) * ((points - self.points) / seconds - self.speed)
            cutoff = CUTOFF_HZ + CUTOFF_PER_SPEED * np.linalg.norm(self.speed, axis=1, keepdims=True) / height
            self.points = self.points + weight(cutoff, seconds) * (points - self.points)
        return self.points


def weight(cutoff: Float[np.ndarray, "K 1"] | float, seconds: float) -> Float[np.ndarray, "K 1"] | float:
    """Return how much of a new value a low-pass filter takes."""
    turn = 2 * math.pi * cutoff * seconds
    return turn / (turn + 1)


class Tracker:
    """`tracker(people, time)` returns the same people with identities from 1, and smoothed keypoints where asked."""

    def __init__(self, sigmas: Sequence[float] | None, *, smooth: bool = False) -> None:
        self.sigmas, self.smooth = sigmas, smooth
        self.tracks: list[Track] = []
        self.given = 0

    def __call__(self, people: Sequence[Person], time: float) -> list[Person]:
        """Return the people of the frame at `time` (seconds)."""
        self.tracks = [track for track in self.tracks if time - track.time <= REMEMBERED_S]
        matched = dict[int, Track]()
        if self.tracks and people:
            alike = self.alike([track.last for track in self.tracks], people)
            for row, column in zip(*linear_sum_assignment(alike, maximize=True), strict=True):
                if alike[row, column] >= LEAST_ALIKE:
                    matched[int(column)] = self.tracks[row]
        return [self.follow(person, time, matched.get(number)) for number, person in enumerate(people)]

    def follow(self, person: Person, time: float, track: Track | None) -> Person:
        """Return a person with the identity of a track, or a new one."""
        if track is None:
            self.given += 1
            track = Track(self.given, person, time, OneEuro(person.points.copy()))
            self.tracks.append(track)
        elif self.smooth:
            points = track.smooth(person.points, time - track.time, person.box[3])
            person = replace(person, keypoints=np.column_stack([points, person.scores]))
        track.last, track.time = person, time
        return replace(person, track=track.number)

    def alike(self, before: Sequence[Person], now: Sequence[Person]) -> Float[np.ndarray, "M N"]:
        """Return the mean of IoU and OKS of all pairs, from 0 to 1; IoU alone for keypoints without sigmas."""
        boxes = [np.array([person.box for person in people]) for people in (before, now)]
        overlap: np.ndarray = iou(*boxes, [0] * len(now))
        if self.sigmas is None:
            return overlap
        areas = np.concatenate(boxes)[:, 2:].prod(axis=1)
        oks = oks_matrix(np.stack([person.points for person in (*before, *now)]), areas, self.sigmas)
        return (overlap + oks[: len(before), len(before) :]) / 2
