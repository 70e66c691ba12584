"""Tables and figure of the bench from records: ratios paired within a session, dashes where nothing was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.figures.bench import bench
from analysis.tables.bench import bench_tables, for_files
from experiments.cells.provenance import Device, local_device
from experiments.spec.bench_spec import deployments, load_bench, timings
from experiments.spec.catalog import open_catalog
from results.records import Record
from results.store import Store

PEER, OURS = "ViTPose-S 256x192, Hugging Face", "SHaRPose-S 256x192, packed"


def metrics(session: str, samples: list[float]) -> dict[str, Any]:
    seconds = sorted(samples)[len(samples) // 2] / 1e3
    return {
        "session": session,
        "batch_size": 4,
        "images_per_s": 4 / seconds,
        **{f"latency_ms_{name}": 1e3 * seconds for name in ("p50", "p90", "p99")},
        "noisy": False,
        "rounds": len(samples),
        "samples_ms": samples,
        "macs": 4e9,
        "macs_per_s": 2e10,
        "macs_per_byte": 50.0,
        "share_of_matmul_rate": 0.5,
        "share_of_roof": 0.5,
        "matmul_macs_per_s": 4e10,
        "copy_bytes_per_s": 1e10,
        "joules_per_image": None,
        "peak_memory_mib": 700.0,
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def save(
    store: Store, label: str, session: str, samples: list[float], device: Device = local_device("cpu"), **more: Any
) -> None:
    found = timings(load_bench(), open_catalog(), device)
    identity = next(one.identity for one in found if one.row.label == label)
    values = {**metrics(session, samples), **more}
    store.save(Record(identity, values, "bench", label, "paper-size", {"utc": "2026-01-02"}))


def test_ratios_are_paired_within_a_session(store: Store) -> None:
    # the machine is half as fast in the second round, for both
    save(store, PEER, "a", [100, 200, 90])
    save(store, OURS, "a", [50, 100, 60])
    speeds = bench_tables(store=store)[0]
    row = speeds.frame.set_index("label").loc[OURS]
    assert row["ratio"] == 2.0 and row["wanted"] == 1.25
    shown = speeds.shown.set_index("row").loc[OURS]
    assert shown["times its speed"] == "2.00" and shown["peak memory (MiB)"] == "700"
    assert "J/image" not in speeds.shown
    assert "Wanted and not reached: none." in speeds.footer


def test_where_the_time_goes(store: Store) -> None:
    save(store, OURS, "a", [50, 50, 50], operators={"products": 0.9, "other": 0.1})
    save(store, PEER, "a", [50, 50, 50], operators={"other": 0.3, "products": 0.5, "convolutions": 0.2})
    shown = bench_tables(store=store)[1].shown.set_index("row")
    assert list(shown) == ["matmuls %", "other %", "convolutions %"]
    assert shown.loc[OURS].tolist() == ["90.0", "10.0", "0.0"]
    assert shown.loc[PEER].tolist() == ["50.0", "30.0", "20.0"]


def test_other_sessions_are_marked_and_missing_rows_are_dashes(store: Store) -> None:
    save(store, PEER, "a", [100, 100, 100])
    save(store, OURS, "b", [100, 100, 100])
    speeds = bench_tables(store=store)[0]
    shown = speeds.shown.set_index("row")
    assert shown.loc[OURS]["times its speed"] == "1.00 †"
    assert shown.loc["ViTPose-S 256x192, ours"]["images/s"] == "–"
    assert f"Wanted and not reached: {OURS}." in speeds.footer
    assert any("not timed in one session" in line for line in speeds.footer)


def test_files_hold_every_device(store: Store) -> None:
    other = Device("cpu", "Another CPU", 8)
    save(store, PEER, "a", [100, 100, 100])
    save(store, PEER, "b", [50, 50, 50], other)
    save(store, OURS, "b", [25, 25, 25], other, operators={"products": 1.0})
    tables = bench_tables(store=store)
    assert tables[0].shown.set_index("row").loc[OURS, "images/s"] == "–"
    speeds, kinds, _ = for_files(tables, store)
    rows = {(row.device, row.label): row.images_per_s for row in speeds.frame.itertuples()}
    here = str(local_device("cpu"))
    assert rows == {(str(other), PEER): 80.0, (str(other), OURS): 160.0, (here, PEER): 40.0}
    assert kinds.frame[["device", "label", "products"]].values.tolist() == [[str(other), OURS, 1.0]]


def test_what_a_back_end_does_to_accuracy(store: Store) -> None:
    found = deployments(load_bench())
    pairing = {"bootstrap_seed": 0, "bootstrap_images": "x", "annotations_sha256": "y"}
    for index, ap in ((0, 0.8), (3, 0.79)):
        values = {"ap": ap, "ap_bootstrap": [ap - 0.01, ap, ap + 0.01], "heatmaps_relative_error": index / 100}
        one = found[index]
        store.save(Record(one.identity, {**values, **pairing}, "bench", one.label, "nano", {"utc": "2026-01-02"}))
    shown = bench_tables(store=store)[2].shown
    assert shown["AP minus the first row's"].tolist() == ["–", "–", "–", "-1.00 [-1.00, -1.00]", *5 * ["–"]]
    assert shown["error of heatmaps"].tolist()[3] == "3.0e-02"


def test_figure(store: Store) -> None:
    save(store, PEER, "a", [100, 100, 100])
    save(store, OURS, "a", [50, 50, 50], operators={"products": 0.75, "attention": 0.25})
    speeds, kinds, _ = bench_tables(store=store)
    drawn = dict(bench(speeds.frame, kinds.frame))
    assert list(drawn) == ["bench", "bench-roof", "bench-operators"]
    bars, points, shares = (figure.axes[0] for figure in drawn.values())
    assert [patch.get_width() for patch in bars.patches] == [2.0]
    assert sum(len(line.get_xdata()) for line in points.lines) - 200 == 2  # but for the roof
    assert [patch.get_width() for patch in shares.patches] == [75, 25]
