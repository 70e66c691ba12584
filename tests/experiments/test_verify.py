"""Stored numbers are measured again and judged; the store stays as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.cells.cells import cells
from experiments.cells.expected import compare
from experiments.cells.provenance import local_device
from experiments.run import run
from experiments.run import verify as verifying
from experiments.run.verify import lines, verify
from experiments.spec.catalog import Catalog
from experiments.spec.reading import load_spec
from results.packed import pack
from results.records import Record
from results.store import Store
from sharpose.runtime.errors import InputError
from tests.command_line import call

COST = {"params": 94_116_000, "macs_fvcore": 17_059_000_000}
ACCURACY = {"ap": 0.8, "ap50": 0.99, "ap_l": 0.7, "annotated_people": 1076, "people": 1076, "images": 520}
SPEED = {"images_per_s": 10.0, "samples_ms": [195.0, 200.0, 208.0], "batch_size": 2}


def record_of(measure, metrics):
    return Record({"measure": measure, "version": 1}, metrics, "s", "r", "nano")


def judged(measure, stored, now):
    return {one.metric: one.holds for one in compare(record_of(measure, stored), now)}


def test_a_cost_must_be_the_same():
    assert judged("cost", COST, COST) == {"params": True, "macs_fvcore": True}
    assert judged("cost", COST, {**COST, "macs_fvcore": 17_059_000_001}) == {"params": True, "macs_fvcore": False}


def test_an_accuracy_may_move_by_one_step_of_the_curve():
    assert all(judged("accuracy", ACCURACY, {**ACCURACY, "ap": 0.8009, "ap50": 0.981}).values())
    assert judged("accuracy", ACCURACY, {**ACCURACY, "ap": 0.8011})["ap"] is False
    assert judged("accuracy", ACCURACY, {**ACCURACY, "ap50": 0.979})["ap50"] is False
    # twice as much for people of one size, and where people are few their share is the step
    assert judged("accuracy", ACCURACY, {**ACCURACY, "ap_l": 0.7019})["ap_l"] is True
    few = {**ACCURACY, "annotated_people": 40}
    assert judged("accuracy", few, {**few, "ap": 0.8024})["ap"] is True
    assert judged("accuracy", few, {**few, "ap": 0.8026})["ap"] is False
    # other people, or the same number of others
    assert judged("accuracy", ACCURACY, {**ACCURACY, "people": 1075})["people"] is False
    files = {**ACCURACY, "annotations_sha256": "a"}
    assert judged("accuracy", files, {**files, "annotations_sha256": "b"})["annotations_sha256"] is False
    assert judged("accuracy", ACCURACY, {**ACCURACY, "ap": None})["ap"] is False


def test_no_share_is_expected_below_0_or_above_1():
    few = {"ap": 0.005, "ap50": 0.99, "ap_l": 0.0, "refine_rate": 1.0, "annotated_people": 40, "people": 40}
    ends = {one.metric: (one.low, one.high) for one in compare(record_of("accuracy", few), few)}
    assert ends["ap"] == (pytest.approx(0.0025), pytest.approx(0.0075)) and ends["ap_l"] == (0.0, 0.005)
    assert ends["ap50"] == (pytest.approx(0.965), 1.0) and ends["refine_rate"] == (0.95, 1.0)
    oks = {name: np.zeros(4) for name in ("coarse_oks", "fine_oks", "quality")}
    stored = {"people": 4, "images": 2, "arrays": pack(oks)}
    lows = {one.metric: one.low for one in compare(record_of("predictions", stored), stored)}
    # a predicted quality may be negative
    assert (lows["mean coarse_oks"], lows["mean fine_oks"], lows["mean quality"]) == (0.0, 0.0, -0.001)


def test_a_speed_must_lie_within_the_stored_rounds():
    assert judged("throughput", SPEED, {"images_per_s": 2000 / 208.0}) == {"images_per_s": True}
    assert judged("throughput", SPEED, {"images_per_s": 9.6}) == {"images_per_s": False}
    assert judged("throughput", SPEED, {"images_per_s": 10.3}) == {"images_per_s": False}


def test_predictions_are_compared_by_what_judges_them():
    def arrays(shift):
        return pack({name: np.full(4, 0.5 + shift) for name in ("coarse_oks", "fine_oks", "quality")})

    stored = {"people": 4, "images": 2, "arrays": arrays(0)}
    assert all(judged("predictions", stored, {**stored, "arrays": arrays(0.0009)}).values())
    assert judged("predictions", stored, {**stored, "arrays": arrays(0.002)})["mean fine_oks"] is False


@pytest.fixture
def small(monkeypatch, places, spec_path, store):
    """A small table with all but its speeds stored, and a measurement that gives what is stored, times a factor."""
    monkeypatch.setattr(run, "open_catalog", lambda tier, coco: Catalog(tier, replace(places, coco=coco)))
    monkeypatch.setattr(run, "load_specs", lambda names=(), tier=None: [load_spec(spec_path)])
    factor = {"accuracy": 1.0, "cost": 1, "throughput": 1.0}

    def measure(todo, reference, catalog, device, progress):
        (cell,) = todo
        found = {"accuracy": ACCURACY, "cost": COST, "throughput": SPEED}[cell.measure]
        changed = "ap" if cell.measure == "accuracy" else "params" if cell.measure == "cost" else "images_per_s"
        yield cell, {**found, changed: found[changed] * factor[cell.measure]}

    monkeypatch.setattr(verifying, "measure", measure)
    for cell in cells(load_spec(spec_path), Catalog("nano", places), local_device("cpu")):
        metrics = {"accuracy": ACCURACY, "cost": COST, "throughput": SPEED}[cell.measure]
        store.save(Record(cell.identity, metrics, cell.spec, cell.row, cell.tier, {"device": "somewhere"}))
    return factor


def said(text):
    pass


def records(store: Store) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(store.local).rglob("*.json")}


def test_every_cell_of_a_table_cheapest_first_and_nothing_is_stored(small, spec_path, store):
    before = records(store)
    checks = verify(str(spec_path), store=store, say=said)
    assert [one.name.rpartition(": ")[2] for one in checks] == ["cost"] * 2 + ["accuracy"] * 3 + ["throughput"] * 2
    assert {one.verdict for one in checks} == {"as expected"}
    assert records(store) == before and len(before) == 7
    assert len(verify(str(spec_path), limit=3, store=store, say=said)) == 3
    assert len(verify(str(spec_path), measures=["accuracy"], store=store, say=said)) == 3
    assert lines(checks)[-1] == "7 stored cells: 7 as expected, 0 not"


def test_what_does_not_hold_is_said_metric_by_metric(small, spec_path, store):
    small["cost"] = 2
    checks = verify(f"{spec_path}:0.3", store=store, say=said)
    assert [one.verdict for one in checks] == ["differs", "as expected", "as expected"]
    text = "\n".join(lines(checks))
    assert "params 94,116,000, now 188,232,000  DIFFERS" in text
    assert "ap 0.8000, now 0.8000, expected 0.7990 to 0.8010" in text
    assert "the same: macs_fvcore" in text and text.endswith("3 stored cells: 2 as expected, 1 not")
    assert checks[0].as_dict()["comparisons"][0]["holds"] is False


def test_one_record_by_the_beginning_of_its_run_id(small, spec_path, store):
    (first,) = verify(f"{spec_path}:1.0:ap", store=store, say=said)
    (again,) = verify(first.run_id[:8], store=store, say=said)
    assert again == first and first.measured_on == "somewhere"
    bench = Record({"measure": "bench", "version": 1}, {}, "bench", "x", "paper-size", {"command": "sharpose bench"})
    store.save(bench)
    with pytest.raises(InputError, match=r"no cell of a table has this number now.*sharpose bench"):
        verify(bench.run_id, store=store, say=said)


def test_a_speed_of_another_device_and_absent_data_are_not_compared(small, spec_path, store, monkeypatch):
    (speed,) = verify(f"{spec_path}:1.0:speed", store=store, say=said)
    assert speed.verdict == "as expected"
    elsewhere = replace(local_device("cpu"), name="another processor")
    monkeypatch.setattr(run, "local_device", lambda kind: elsewhere)
    (speed,) = verify(speed.run_id, store=store, say=said)
    assert speed.verdict == "not compared" and "a speed of somewhere, and this is another processor" in speed.reason
    with pytest.raises(InputError, match="nothing of it is stored"):
        verify(f"{spec_path}:1.0:speed", store=store, say=said)


def test_the_command_ends_with_1_where_a_number_does_not_hold(small, spec_path, store, monkeypatch, capsys):
    monkeypatch.setattr(run, "Store", lambda: store)
    code, out, _ = call(capsys, "verify", f"{spec_path}:0.3:ap", "--json")
    assert code == 0 and json.loads(out)[0]["verdict"] == "as expected"
    small["accuracy"] = 1.1
    code, out, _ = call(capsys, "verify", f"{spec_path}:0.3:ap")
    assert code == 1 and "ap 0.8000, now 0.8800" in out
    code, _, err = call(capsys, "verify", "table3:nobody")
    assert code == 2 and "no row of table3 is called 'nobody'" in err


def test_a_published_cost_holds_here(capsys):
    """The whole way once, with a real model and a published record."""
    code, out, _ = call(capsys, "verify", "beyond:α = 0.4", "--measure", "cost")
    assert code == 0 and out.splitlines()[-1] == "1 stored cells: 1 as expected, 0 not"
