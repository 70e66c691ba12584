"""The best α and threshold within a latency, from stored predictions and given times."""

from __future__ import annotations

import pytest

from analysis.gate import operating_point
from analysis.gate.gate import Candidate, Cost, Gate, candidates
from analysis.gate.operating_point import choose_operating_point, frontier_rows, latency_frontier
from analysis.gate.predictions import read_predictions
from experiments.spec.yamlfile import SpecError
from results.store import Store
from sharpose.cli.gate import steps
from sharpose.efficiency.stages import break_even, measure_stages
from sharpose.runtime.errors import InputError

TINY = {"embed_dim": 12, "num_heads": 2, "depth": 2}
# fine stages that take longer the more patches they refine
TIMES = {alpha: Cost(10.0, 10.0 + 20.0 * alpha) for alpha in (0.0, 0.3, 0.4, 0.5, 1.0)}


@pytest.fixture
def few(monkeypatch):
    """Two rows and few thresholds, as every one takes its time to be scored."""
    monkeypatch.setattr(operating_point, "frontier_rows", lambda spec, tier: ("", {0.3: "0.3", 1.0: "1.0"}))
    monkeypatch.setattr(operating_point, "stored_sweep", lambda record, people, asked_by, store: three_of(people))


def three_of(people):
    points = map(Gate(people, resamples=0).point, candidates(people.quality, steps=2))
    return [Candidate(point.threshold, point.refine_rate, point.metrics.ap) for point in points]


def test_rows_of_the_frontier():
    model, rows = frontier_rows()
    assert model == "sharpose-base-256x192" and list(rows) == [0.0, 0.3, 0.4, 0.5, 1.0]
    with pytest.raises(SpecError, match="one model's at several α"):
        frontier_rows("figure6")


def test_the_best_within_the_latency(few):
    point = choose_operating_point(22.0, TIMES, tier="photos", resamples=20)
    assert point.latency_ms <= 22.0 and point.alpha in (0.3, 1.0) and 0 < point.refine_rate < 1
    assert point.latency_ms == pytest.approx(TIMES[point.alpha].expected(point.refine_rate))
    # nothing allowed is better, of either α
    for alpha in (0.3, 1.0):
        line = operating_point.find_line("frontier", str(alpha), "photos", Store())
        for one in three_of(read_predictions(line.records["predictions"])):
            assert TIMES[alpha].expected(one.refine_rate) > 22.0 or one.ap <= point.ap
    assert point.ap_low < point.ap < point.ap_high


def test_the_frontier_of_latency_keeps_what_nothing_beats(few):
    points = latency_frontier(TIMES, tier="photos")
    assert {point["alpha"] for point in points} <= {0.3, 1.0} and len(points) >= 2
    for slower, faster in zip(points[1:], points, strict=False):
        assert slower["latency_ms"] > faster["latency_ms"] and slower["ap"] > faster["ap"]
    # what is picked within a latency is the last of them that is fast enough
    picked = choose_operating_point(22.0, TIMES, tier="photos", resamples=0)
    last = [point for point in points if point["latency_ms"] <= 22.0][-1]
    assert (picked.alpha, picked.quality_threshold) == (last["alpha"], last["quality_threshold"])


def test_a_one_stage_model_is_faster_from_so_many_people_on():
    # 100 ms at once, or 20 ms and 16 ms for each: 5 people take 100 ms
    assert break_even(100.0, 20.0, 16.0) == 5.0
    assert break_even(15.0, 20.0, 16.0) == 0.0


def test_a_terminal_sees_steps_of_half_a_point():
    points = [{"ap": ap} for ap in (0.70, 0.701, 0.706, 0.709, 0.712, 0.713)]
    assert [one["ap"] for one in steps(points)] == [0.70, 0.706, 0.712, 0.713]


def test_what_is_too_fast_for_everything(few):
    with pytest.raises(SpecError, match="coarse stage alone takes 10 ms here; raise --latency-ms"):
        choose_operating_point(9.0, TIMES, tier="photos")


def test_stages_are_timed_for_every_alpha():
    for packed in (False, True):
        times = measure_stages("sharpose-nano-128x96", [0.0, 1.0], options=TINY, rounds=1, packed=packed)
        assert times.coarse > 0 and list(times.fine) == [0.0, 1.0] and min(times.fine.values()) > 0
    with pytest.raises(InputError, match="no coarse and fine stage"):
        measure_stages("vitpose-nano-128x96", [0.3], options=TINY)
