"""Time per crop, part by part, and the need it is held against."""

from __future__ import annotations

import pytest

from sharpose.efficiency import loading
from sharpose.efficiency.loading import crops_needed, measure_loading
from sharpose.runtime.errors import InputError


class People:
    """Crops whose costs are known: reading a photograph 5 ms, the rest 2 ms, on a clock of our own."""

    def __init__(self) -> None:
        self.clock, self.there = 0.0, False

    def __len__(self) -> int:
        return 3

    def forget(self) -> None:
        self.there = False

    def sample(self, index: int, epoch: int) -> None:
        self.clock += 2e-3 if self.there else 7e-3
        self.there = True


def test_decoding_is_told_from_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    people = People()
    monkeypatch.setattr(loading.time, "process_time", lambda: people.clock)
    measured = measure_loading(people, 8)  # type: ignore[arg-type]
    assert measured["crop_ms"] == pytest.approx(7) and measured["warp_ms"] == pytest.approx(2)
    assert measured["decode_ms"] == pytest.approx(5)
    assert measured["crops_per_s_per_core"] == pytest.approx(1000 / 7)
    assert measured["crops_per_s_per_core_preloaded"] == pytest.approx(500)
    with pytest.raises(InputError, match="crops = 0"):
        measure_loading(people, 0)  # type: ignore[arg-type]


def test_need_follows_from_the_cost_of_a_step() -> None:
    # 1 G multiply-adds forward: 6 GFLOP per crop and step
    assert crops_needed(1e9, 6, 0.5) == pytest.approx(500)
