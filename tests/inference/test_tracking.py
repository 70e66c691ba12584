"""Identities that stay, and a filter that takes noise and leaves motion."""

from __future__ import annotations

import numpy as np
import pytest

from sharpose.inference.pose import Person
from sharpose.inference.tracking import OneEuro, Tracker
from sharpose.pose.skeleton import COCO


def at(x: float, y: float = 100.0, noise: np.ndarray | None = None) -> Person:
    """A person of 60 x 160 pixels at a place."""
    points = np.column_stack([x + 12.0 * (np.arange(17) % 5), y + 40.0 * (np.arange(17) // 5)])
    points = points if noise is None else points + noise
    return Person([x, y, 60.0, 160.0], np.column_stack([points, np.full(17, 0.8)]), 0.8)


@pytest.mark.parametrize("sigmas", [COCO.sigmas, None])
def test_identities_follow_people_that_pass_each_other(sigmas: tuple[float, ...] | None) -> None:
    tracker = Tracker(sigmas)
    for frame in range(20):
        right, left = at(100.0 + 10 * frame), at(400.0 - 10 * frame, 330.0)
        # the order in which they are found changes
        people = tracker([right, left] if frame % 2 else [left, right], frame / 25)
        places = {person.track: person.box[0] for person in people}
        assert places == {2: 100.0 + 10 * frame, 1: 400.0 - 10 * frame}


def test_who_is_hidden_shortly_comes_back_and_who_is_long_gone_does_not() -> None:
    tracker = Tracker(COCO.sigmas)
    assert [person.track for person in tracker([at(100)], 0.0)] == [1]
    assert tracker([], 0.4) == []
    assert [person.track for person in tracker([at(105), at(500)], 0.8)] == [1, 2]
    assert [person.track for person in tracker([at(105)], 2.5)] == [3]


def test_the_filter_takes_trembling_and_keeps_up_with_motion() -> None:
    noise = np.random.default_rng(0).normal(scale=2.0, size=(100, 17, 2))
    still, moving = Tracker(COCO.sigmas, smooth=True), Tracker(COCO.sigmas, smooth=True)
    seen = [still([at(100, noise=one)], n / 25)[0].points for n, one in enumerate(noise)]
    before, after = (np.std(np.diff(points, axis=0)) for points in (noise[20:], np.stack(seen)[20:]))
    assert after < before / 3
    # a walk of two heights a second, without noise
    walked = [moving([at(12.8 * n)], n / 25)[0].points for n in range(60)]
    assert np.abs(walked[-1] - at(12.8 * 59).points).max() < 20


def test_without_time_between_frames_nothing_moves() -> None:
    smooth = OneEuro(np.zeros((17, 2)))
    assert not smooth(np.ones((17, 2)), 0.0, 100.0).any()
