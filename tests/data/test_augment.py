"""The distribution of random crops."""

from __future__ import annotations

import numpy as np
import pytest

from sharpose.data.augment import Augmentation, Draw

DRAWS = [Augmentation().draw(np.random.default_rng(seed)) for seed in range(4000)]


def share(values: list[bool]) -> float:
    return sum(values) / len(values)


def test_probabilities() -> None:
    assert share([draw.flip for draw in DRAWS]) == pytest.approx(0.5, abs=0.03)
    assert share([draw.half_body for draw in DRAWS]) == pytest.approx(0.3, abs=0.03)
    assert share([draw.shift != (0.0, 0.0) for draw in DRAWS]) == pytest.approx(0.3, abs=0.03)
    assert share([draw.rotation != 0 for draw in DRAWS]) == pytest.approx(0.6, abs=0.03)
    # a normal draw below one half
    assert share([draw.prefer_upper for draw in DRAWS]) == pytest.approx(0.691, abs=0.03)


def test_strengths() -> None:
    scales = np.array([draw.scale for draw in DRAWS])
    assert scales.min() == 0.5 and scales.max() == 1.5
    # a normal value beyond one standard deviation is clipped
    assert share((scales == 0.5).tolist()) == pytest.approx(0.159, abs=0.03)
    rotations = np.array([draw.rotation for draw in DRAWS if draw.rotation])
    assert np.abs(rotations).max() == 80.0
    assert rotations.std() == pytest.approx(38.4, abs=2)
    shifts = np.array([draw.shift for draw in DRAWS if draw.shift != (0.0, 0.0)])
    assert np.abs(shifts).max() <= 0.16 and np.abs(shifts).max() > 0.15


def test_switched_off_is_no_change() -> None:
    still = Augmentation(
        shift_probability=0.0, flip_probability=0.0, half_body_probability=0.0, scale=0.0, rotation_probability=0.0
    )
    draw = still.draw(np.random.default_rng(0))
    assert Draw(prefer_upper=draw.prefer_upper) == draw
