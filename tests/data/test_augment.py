"""The distribution of random crops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sharpose.data.augment import Augmentation, Draw, Occluder, change_pixels
from sharpose.training.recipe import load_recipe

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


@pytest.mark.parametrize(
    ("recipe", "shift", "shifted", "half_body", "scale", "rotation"),
    [
        ("vitpose-base", 0.2, 0.3, 0.3, 0.5, 40),
        ("sharpose-base", 0.16, 0.3, 0.3, 0.5, 40),
        ("hrnet", 0.0, 0.0, 0.3, 0.35, 45),
        ("simple-baseline", 0.0, 0.0, 0.0, 0.3, 40),
        ("okdhp", 0.0, 0.0, 0.0, 0.25, 30),
    ],
)
def test_published_distributions(
    recipe: str, shift: float, shifted: float, half_body: float, scale: float, rotation: float
) -> None:
    """Against the distributions themselves: uniform, and normal cut at one or two standard deviations."""
    augmentation = load_recipe(recipe).augmentation
    assert augmentation is not None
    rng = np.random.default_rng(1)
    draws = [augmentation.draw(rng) for _ in range(4000)]
    assert share([draw.shift != (0.0, 0.0) for draw in draws]) == pytest.approx(shifted, abs=0.03)
    assert share([draw.half_body for draw in draws]) == pytest.approx(half_body, abs=0.03)
    assert share([draw.flip for draw in draws]) == pytest.approx(0.5, abs=0.03)
    moves = np.array([draw.shift for draw in draws if draw.shift != (0.0, 0.0)]).ravel()
    if shift:
        assert stats.kstest(moves, stats.uniform(-shift, 2 * shift).cdf).pvalue > 1e-3
    normal = np.random.default_rng(2).standard_normal(20_000)
    factors = np.array([draw.scale for draw in draws])
    assert stats.ks_2samp(factors, 1 + scale * normal.clip(-1, 1)).pvalue > 1e-3
    turned = np.array([draw.rotation for draw in draws if draw.rotation])
    assert len(turned) / len(draws) == pytest.approx(0.6, abs=0.03)
    assert stats.ks_2samp(turned, rotation * normal.clip(-2, 2)).pvalue > 1e-3


def test_tints_and_covers_change_pixels_alone_and_only_where_asked() -> None:
    strong = Augmentation(color=0.3, occluder_probability=1.0)
    drawn = strong.draw(np.random.default_rng(7))
    plain = Augmentation().draw(np.random.default_rng(7))
    assert plain.gains is None and plain.occluder is None
    # what is drawn besides stays the same
    assert (drawn.shift, drawn.scale, drawn.rotation) == (plain.shift, plain.scale, plain.rotation)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    assert change_pixels(pixels, plain) is pixels
    before = pixels.copy()
    cover = Draw(occluder=Occluder((0.25, 0.5, 0.5, 0.25), (0.5, 0.0)))
    covered = change_pixels(pixels, cover)
    changed = (covered != before).any(axis=2)
    assert changed[32:48, 12:36].mean() > 0.9 and changed.sum() == changed[32:48, 12:36].sum()
    np.testing.assert_array_equal(covered[32:48, 24:36], before[32:48, 0:12])
    np.testing.assert_array_equal(pixels, before)
    assert change_pixels(np.full((4, 4, 3), 100, np.uint8), Draw(gains=(2.0, 1.0, 0.5)))[0, 0].tolist() == [
        200,
        100,
        50,
    ]
    sides = np.array([strong.draw(np.random.default_rng(seed)).occluder.box[2:] for seed in range(300)])
    assert 0.1 <= sides.min() < 0.15 and 0.35 < sides.max() <= 0.4
