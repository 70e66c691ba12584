"""The runner measures what is missing, once, and leaves whole records whatever happens."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from experiments.cells.measures import accuracy_metrics, run_throughput
from experiments.cells.provenance import Device
from experiments.run import run
from experiments.spec.catalog import Catalog
from experiments.spec.reading import load_spec
from sharpose.efficiency import throughput
from sharpose.evaluation.metrics.coco_ap import Bootstrap
from sharpose.runtime.errors import RunFailed


@pytest.fixture
def measured(monkeypatch, places):
    """Every cell that was measured, by a stand-in for the library's measures."""
    cells = []

    def measure(todo, reference, catalog, device, progress):
        for number, cell in enumerate(todo, 1):
            cells.append((cell.measure, cell.row))
            progress(number, len(todo))
            yield cell, {"value": len(cells)}

    monkeypatch.setattr(run, "measure", measure)
    monkeypatch.setattr(run, "open_catalog", lambda tier, coco: Catalog(tier, replace(places, coco=coco)))
    return cells


ALL = [
    ("cost", "0.3"), ("cost", "1.0"), ("accuracy", "0.3"), ("accuracy", "1.0"), ("accuracy", "mean pose"),
    ("throughput", "0.3"), ("throughput", "1.0"),
]  # fmt: skip


def silent(text: str) -> None:
    pass


def test_what_is_missing_is_measured_and_stored(measured, spec_path, store):
    summary = run.run_specs([spec_path], store=store, say=silent)
    assert measured == ALL and summary.measured == 7
    assert {status.state for status in summary.statuses} == {"stored"}
    record = store.find(summary.statuses[0].cell.identity)
    assert (record.spec, record.row, record.tier, record.metrics) == ("small", "0.3", "nano", {"value": 3})
    assert record.provenance["model"] == "sharpose-nano-128x96" and record.provenance["dataset"] == "mannequin2-val"


def test_what_is_stored_is_not_measured_again(measured, spec_path, store):
    run.run_specs([spec_path], store=store, say=silent)
    assert run.run_specs([spec_path], store=store, say=silent).measured == 0
    assert len(measured) == 7
    assert run.run_specs([spec_path], store=store, say=silent, measures=["cost"], again=True).measured == 2


def test_a_new_row_is_measured_alone(measured, spec_path, store):
    run.run_specs([spec_path], store=store, say=silent)
    measured.clear()
    row = '  - {label: "0.7", set: {model.alpha: 0.7}}\n'
    spec_path.write_text(spec_path.read_text().replace("rows:\n", "rows:\n" + row))
    run.run_specs([spec_path], store=store, say=silent)
    assert measured == [("cost", "0.7"), ("accuracy", "0.7"), ("throughput", "0.7")]


def test_cells_that_two_specs_share_are_measured_once(measured, spec_path, store, tmp_path):
    copy = tmp_path / "copy.yaml"
    copy.write_text(spec_path.read_text())
    summary = run.run_specs([spec_path, copy], store=store, say=silent)
    assert len(measured) == 7 and len(summary.statuses) == 14
    assert {status.state for status in summary.statuses} == {"stored"}


def test_metrics_that_are_no_numbers_leave_the_rest(monkeypatch, measured, spec_path, store):
    whole = run.measure

    def broken(*arguments):
        for cell, metrics in whole(*arguments):
            if (cell.measure, cell.row) == ("accuracy", "0.3"):
                raise RunFailed("the model's heatmaps hold values that are not finite")
            yield cell, {"value": float("nan")} if cell.row == "1.0" else metrics

    monkeypatch.setattr(run, "measure", broken)
    said = []
    summary = run.run_specs([spec_path], store=store, say=said.append)
    assert measured == ALL
    stored = {(status.cell.measure, status.cell.row) for status in summary.statuses if status.state == "stored"}
    assert stored == {("cost", "0.3"), ("accuracy", "mean pose"), ("throughput", "0.3")}
    assert summary.measured == 3 == len(store.records())
    assert [failure.split(";")[0] for failure in summary.failures] == [
        "small 1.0: cost: value is no finite number",
        "the model's heatmaps hold values that are not finite",
        "small 1.0: accuracy: value is no finite number",
        "small 1.0: throughput: value is no finite number",
    ]
    assert sum("failed: " in line for line in said) == 4


@pytest.mark.parametrize("stop_after", range(7))
def test_an_interruption_leaves_whole_records(monkeypatch, measured, spec_path, store, stop_after):
    whole = run.measure

    def interrupted(*arguments):
        for cell, metrics in whole(*arguments):
            if len(measured) > stop_after:
                raise KeyboardInterrupt
            yield cell, metrics

    monkeypatch.setattr(run, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run_specs([spec_path], store=store, say=silent)
    assert len(store.records()) == stop_after
    assert not list(store.local.rglob("*.tmp")) and not list(store.local.glob("leases/*.lease"))
    monkeypatch.setattr(run, "measure", whole)
    assert run.run_specs([spec_path], store=store, say=silent).measured == 7 - stop_after


def test_two_runs_at_once_share_the_work(monkeypatch, measured, spec_path, store):
    whole = run.measure

    def slow(*arguments):
        for result in whole(*arguments):
            time.sleep(0.02)
            yield result

    monkeypatch.setattr(run, "measure", slow)
    monkeypatch.setattr(run, "POLL_S", 0.01)
    summaries = []
    threads = [
        threading.Thread(target=lambda: summaries.append(run.run_specs([spec_path], store=store, say=silent)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(measured) == sorted(ALL)
    assert sum(summary.measured for summary in summaries) == 7
    assert all(status.state == "stored" for summary in summaries for status in summary.statuses)


def test_status_says_what_is_stored_missing_and_blocked(measured, spec_path, store, places):
    (places.weights / "nano/sharpose-nano-128x96.safetensors").unlink()
    run.run_specs([spec_path], store=store, say=silent, measures=["cost"])
    states = {(s.cell.row, s.cell.measure): s for s in run.status([spec_path], store=store)}
    assert {key: status.state for key, status in states.items()} == {
        ("0.3", "accuracy"): "blocked",
        ("0.3", "cost"): "stored",
        ("0.3", "throughput"): "missing",
        ("1.0", "accuracy"): "blocked",
        ("1.0", "cost"): "stored",
        ("1.0", "throughput"): "missing",
        ("mean pose", "accuracy"): "missing",
    }
    assert "no weights" in states["0.3", "accuracy"].as_dict()["reason"]
    assert [(s.measure, s.stored, s.missing, s.blocked) for s in run.standings(states.values())] == [
        ("cost", 2, 0, 0), ("accuracy", 0, 1, 2), ("throughput", 0, 2, 0)
    ]  # fmt: skip
    ((reason, those),) = run.reasons(states.values())
    assert "no weights" in reason and [status.cell.row for status in those] == ["0.3", "1.0"]


def test_without_a_gpu_its_speeds_are_blocked(measured, spec_path, store, monkeypatch):
    monkeypatch.setattr("experiments.cells.provenance.output", lambda command: None)
    monkeypatch.setattr("experiments.cells.provenance.gpu_name", run.choose_device.__globals__["gpu_name"].__wrapped__)
    states = [s for s in run.status([spec_path], store=store, device="cuda") if s.cell.measure == "throughput"]
    assert {status.state for status in states} == {"blocked"}
    assert "no GPU here" in states[0].reason


def test_speeds_are_timed_with_the_row_they_are_compared_with(spec_path, catalog, monkeypatch):
    device = Device("cpu", "Some CPU", 2)
    found = {c.row: c for c in run.cells(load_spec(spec_path), catalog, device) if c.measure == "throughput"}
    asked = {}

    def measure(variants, **how):
        asked.update(variants=dict(variants), **how)
        return {label: {"images_per_s": 10.0 * number} for number, label in enumerate(variants, 1)}

    monkeypatch.setattr(throughput, "measure_throughput", measure)
    results = list(run_throughput([found["0.3"]], found["1.0"], catalog, device, lambda done, total: None))
    batches = {label: variant.batch_size for label, variant in asked["variants"].items()}
    assert batches == {"0.3": 2, "1.0": 2} and asked["threads"] == 2
    assert [(cell.row, metrics) for cell, metrics in results] == [
        ("0.3", {"images_per_s": 10.0, "reference_run_id": found["1.0"].run_id, "reference_images_per_s": 20.0})
    ]


def test_accuracy_records_hold_what_pairs_their_replicates():
    import numpy as np

    class Evaluation:
        bootstrap = Bootstrap(np.array([0.51234567, np.nan]), (1, 2), 0)
        score_name = "ap"

        def summary(self) -> dict:
            return {"ap": 0.5}

    metrics = accuracy_metrics(Evaluation())
    assert metrics["ap_bootstrap"] == [0.512346, None] and metrics["bootstrap_seed"] == 0
    assert len(metrics["bootstrap_images"]) == 16
