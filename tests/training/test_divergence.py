"""A loss that runs away stops the run, and the weights of before stay."""

from __future__ import annotations

import pytest

from sharpose.training.divergence import WINDOW, Watch


def test_a_high_loss_is_suspicious_and_many_are_a_divergence() -> None:
    watch = Watch(factor=10, steps=3)
    for loss in (4.0, 5.0, 6.0, 49.9):
        watch.see(loss)
        assert not watch.suspicious
    # the median of 4, 5, 6, 49.9 is 5.5
    for number in (1, 2, 3):
        watch.see(55.1)
        assert watch.suspicious and watch.diverged == (number == 3)
    assert watch.recent == [4.0, 5.0, 6.0, 49.9]


def test_a_spike_passes() -> None:
    watch = Watch(factor=10, steps=2)
    for loss in (1.0, 100.0, 1.0, 100.0, 1.0):
        watch.see(loss)
        assert not watch.diverged
    assert watch.above == 0 and watch.recent == [1.0, 1.0, 1.0]


def test_zero_steps_never_stop() -> None:
    watch = Watch(factor=2, steps=0)
    for loss in (1.0, 1e9, 1e9):
        watch.see(loss)
        assert not watch.suspicious and not watch.diverged


def test_the_median_is_of_the_last_losses() -> None:
    watch = Watch(factor=10, steps=1)
    for loss in [100.0] * WINDOW + [1.0] * WINDOW:
        watch.see(loss)
    assert len(watch.recent) == WINDOW
    watch.see(11.0)
    assert watch.diverged


def test_a_resumed_watch_goes_on() -> None:
    whole, first = Watch(5, 4), Watch(5, 4)
    losses = [1.0, 2.0, 9.0, 9.0, 9.0, 9.0]
    for loss in losses:
        whole.see(loss)
    for loss in losses[:3]:
        first.see(loss)
    second = Watch(5, 4, first.recent, first.above)
    for loss in losses[3:]:
        second.see(loss)
    assert second == whole and whole.diverged


@pytest.mark.parametrize("field", [{"divergence_factor": 1.0}, {"divergence_steps": -1}])
def test_senseless_limits_are_refused(field: dict[str, float]) -> None:
    from pydantic import ValidationError

    from sharpose.training.recipe import Recipe

    with pytest.raises(ValidationError):
        Recipe(**field)
