"""Filling the store: most shown per second first, never what cannot end in time, and whole records whatever happens."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import pytest

from experiments.cells.cells import cells
from experiments.cells.provenance import Device, local_device
from experiments.run import fill as module
from experiments.run import run
from experiments.run.durations import MARGIN, Durations
from experiments.run.fill import fill
from experiments.spec.catalog import Catalog
from experiments.spec.reading import load_spec
from results.leases import Busy
from results.records import Record
from sharpose.runtime.errors import RunFailed

TAKES = {"cost": 5.0, "accuracy": 100.0, "throughput": 50.0}


class Clock:
    """Time that passes only when something is measured."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def measured(monkeypatch, places, clock):
    """Cells in the order they were measured, each taking its time on the clock."""
    cells = []

    def measure(todo, reference, catalog, device, progress):
        clock.now += TAKES[todo[0].measure]
        for number, cell in enumerate(todo, 1):
            progress(number, len(todo))
            cells.append((cell.measure, cell.row))
            yield cell, {"value": len(cells), "macs_torch": 1e9}

    monkeypatch.setattr(run, "measure", measure)
    monkeypatch.setattr(run, "open_catalog", lambda tier, coco: Catalog(tier, replace(places, coco=coco)))
    return cells


def silent(text: str) -> None:
    pass


def test_with_time_enough_everything_is_measured_cheap_first(measured, spec_path, store, clock):
    filled = fill([spec_path], budget_s=10_000, store=store, say=silent, clock=clock)
    assert [measure for measure, _ in measured] == ["cost"] * 2 + ["throughput"] * 2 + ["accuracy"] * 3
    assert (filled.measured, filled.left, filled.failures) == (7, [], [])
    assert {status.state for status in filled.statuses} == {"stored"}
    assert filled.seconds == 2 * 5 + 50 + 3 * 100
    record = store.find(filled.statuses[0].cell.identity)
    assert record.provenance["seconds"] == 100


def test_nothing_is_started_that_cannot_be_expected_to_end(measured, spec_path, store, clock):
    filled = fill([spec_path], budget_s=150, store=store, say=silent, clock=clock)
    assert {measure for measure, _ in measured} == {"cost", "throughput"}
    # no accuracy is stored, so the guess for a processor counts: longer than the budget
    assert [job.cells[0].measure for job in filled.left] == ["accuracy"] * 3
    assert all(job.expected_s > 150 and "more than the 90 s left" in job.reason for job in filled.left)
    assert clock.now - 1000 <= 150
    assert fill([spec_path], budget_s=0, store=store, say=silent, clock=clock).measured == 0


def test_durations_are_learned_from_what_was_measured(measured, spec_path, store, clock):
    fill([spec_path], budget_s=330, store=store, say=silent, clock=clock)
    # the first accuracy fits its guess (312 s); it took 100 s, so a second would take 130 of the 100 left
    assert [measure for measure, _ in measured].count("accuracy") == 0
    fill([spec_path], budget_s=450, store=store, say=silent, clock=clock)
    assert [measure for measure, _ in measured].count("accuracy") == 3


def test_what_runs_over_is_given_up_and_the_rest_stays(measured, spec_path, store, clock, monkeypatch):
    monkeypatch.setitem(TAKES, "throughput", 5000.0)
    filled = fill([spec_path], budget_s=100, store=store, say=silent, clock=clock)
    assert [measure for measure, _ in measured] == ["cost"] * 2
    assert filled.left[0].reason == "took longer than expected and was given up"
    assert len(store.records()) == 2
    assert not list(store.local.glob("leases/*.lease")) and not list(store.local.rglob("*.tmp"))


def test_what_cannot_end_in_time_is_given_up_early(clock):
    watch = module.Watch(clock, clock(), clock() + 100)
    clock.now += 40
    watch.tick(5, 20)
    watch.tick(8, 20)
    with pytest.raises(module.OutOfTime):
        watch.tick(2, 20)
    with pytest.raises(module.OutOfTime):
        watch.tick(6, 20)
    clock.now += 61
    with pytest.raises(module.OutOfTime):
        watch.tick(20, 20)


def test_time_is_up_also_where_nothing_tells_how_far_it_is(measured, spec_path, store, monkeypatch):
    def building(todo, *others):
        time.sleep(30)
        yield from ()

    monkeypatch.setattr(run, "measure", building)
    rings = signal.setitimer(signal.ITIMER_REAL, 300)
    began = time.monotonic()
    try:
        # short enough to be begun
        monkeypatch.setattr("experiments.run.durations.COST_S", 0.1)
        filled = fill([spec_path], budget_s=0.5, measures=["cost"], store=store, say=silent)
        # however busy the machine is: it was not waited for
        assert time.monotonic() - began < 25
        assert filled.left[0].reason == "took longer than expected and was given up"
        # the alarm of who called goes on
        assert 200 < signal.setitimer(signal.ITIMER_REAL, 0)[0] <= 300
    finally:
        signal.setitimer(signal.ITIMER_REAL, *rings)
    assert store.records() == [] and not list(store.local.glob("leases/*.lease"))


def test_what_has_no_data_here_is_not_tried(measured, spec_path, store, clock, catalog, monkeypatch):
    blocked = replace(cells(load_spec(spec_path), catalog, local_device("cpu"))[0], blocked="no photographs here")
    assert blocked.identity is not None
    monkeypatch.setattr(run, "cells", lambda *others: [blocked])
    filled = fill([spec_path], budget_s=60, store=store, say=silent, clock=clock)
    assert filled.measured == 0 and filled.left == [] and filled.blocked[0].reason == "no photographs here"


def test_what_is_left_stands_in_order_of_its_worth(measured, spec_path, store, clock):
    said = []
    filled = fill([spec_path], budget_s=12, store=store, say=said.append, clock=clock)
    assert said[0].startswith("[12 s left; fills 1, should take 10 s] small 0.3: cost")
    worth = [job.shows / job.expected_s for job in filled.left]
    assert worth == sorted(worth, reverse=True) and filled.left[0].as_dict()["shows"] == 2


def test_a_failure_does_not_stop_the_rest(measured, spec_path, store, clock, monkeypatch):
    whole = run.measure

    def failing(todo, *others):
        if todo[0].measure == "cost":
            raise RunFailed("an operator was not counted")
        yield from whole(todo, *others)

    monkeypatch.setattr(run, "measure", failing)
    filled = fill([spec_path], budget_s=10_000, store=store, say=silent, clock=clock)
    assert filled.measured == 5
    assert [job.reason for job in filled.failures] == ["an operator was not counted"] * 2


def test_cells_of_many_tables_come_first(measured, spec_path, store, clock, tmp_path):
    other = tmp_path / "other.yaml"
    text = spec_path.read_text().replace(
        'label: "0.3", set: {model.alpha: 0.3}', 'label: "0.7", set: {model.alpha: .7}'
    )
    other.write_text(text.replace("[accuracy, cost, throughput]", "[cost]").replace("measure: [accuracy], ", ""))
    other.write_text("\n".join(line for line in other.read_text().splitlines() if "mean pose" not in line))
    fill([spec_path, other], budget_s=10_000, store=store, say=silent, clock=clock)
    # α = 1 is a row of both
    assert measured[0] == ("cost", "1.0")


def test_another_process_that_measures_is_not_waited_for_beyond_the_budget(
    measured, spec_path, store, clock, monkeypatch
):
    waits = []

    def quiet(*, alone, within_s):
        waits.append(within_s)
        clock.now += within_s
        raise Busy("another process is measuring")

    monkeypatch.setattr(store, "quiet", quiet)
    found = fill([spec_path], budget_s=15, measures=["cost"], store=store, say=silent, clock=clock)
    # what the first may wait is the budget but for its own time; then there is too little left for the second
    assert waits == [pytest.approx(15 - MARGIN * 8)] and measured == []
    assert [job.reason for job in found.left] == [module.BUSY, "more than the 10 s left"]


def test_a_speed_is_expected_by_multiply_adds_and_the_devices_slowest_rate(spec_path, catalog, store):
    device = Device("cpu", "A CPU", 2)
    found = cells(load_spec(spec_path), catalog, device)
    cost = {cell.row: cell for cell in found if cell.measure == "cost"}
    speed = {cell.row: cell for cell in found if cell.measure == "throughput"}
    for row, macs in (("0.3", 1e10), ("1.0", 2e10)):
        store.save(Record(cost[row].identity, {"macs_torch": macs}, "small", row, "paper-size"))
    guess = Durations(store, device).expected([speed["0.3"]], speed["1.0"])
    assert guess == pytest.approx(MARGIN * (2 * 3 + 3e10 * 2 * 14 / 2e10))
    store.save(Record(speed["1.0"].identity, {"images_per_s": 5.0}, "small", "1.0", "paper-size"))
    assert Durations(store, device).expected([speed["0.3"]], speed["1.0"]) == pytest.approx(
        MARGIN * (2 * 3 + 3e10 * 2 * 14 / 1e11)
    )
    assert local_device("cpu") != device
