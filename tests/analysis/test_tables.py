"""Tables show measurements or dashes, never the paper's value as ours, and never mix what cannot be compared."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.tables import raw
from analysis.tables.render import as_dict, render, write_csv
from analysis.tables.tables import build, pick_device
from experiments.cells.cells import cells
from experiments.cells.provenance import Device, local_device
from experiments.spec.catalog import Catalog, Places
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER, LoadedSpec, SpecError
from results.records import Record, StoreError
from results.store import Store
from sharpose.models.registry import closed_form, resolve_config
from sharpose.runtime.files import sha256_of

GPU = Device("cuda", "NVIDIA Test 9000")
AP = {"coarse only": 0.38, "0.0": 0.40, "0.3": 0.50, "0.4": 0.505, "0.5": 0.45, "1.0": 0.52, "mean pose": 0.03}
SPEED = {"0.0": 20.0, "0.3": 16.0, "0.4": 15.0, "0.5": 14.0, "1.0": 10.0}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def catalog(tmp_path):
    for model in ("sharpose-nano-128x96", "sharpose-nano-192x144"):
        path = tmp_path / "weights/nano" / f"{model}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.encode())
        start = {"file": "start.safetensors", "sha256": "0123456789", "taken": {"unexpected": ["cls_token"]}}
        path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path), "init": start}))
    return Catalog("nano", Places(weights=tmp_path / "weights"))


def accuracy(label: str) -> dict:
    replicates = AP[label] + np.random.default_rng(0).normal(0, 0.01, 200)
    sizes = {
        "annotated_people": 1100,
        "images": 520,
        "bootstrap_seed": 0,
        "bootstrap_images": "a",
        "annotations_sha256": "c",
    }
    return {"ap": AP[label], "ap_bootstrap": replicates.tolist(), **sizes}


def cost(alpha: float) -> dict:
    total = closed_form(resolve_config("sharpose-base-256x192", alpha=alpha))
    return {"params": total.params, "macs_torch": total.macs, "macs_fvcore": total.fvcore}


def spec6a() -> LoadedSpec:
    """Table 6a without the rows of controls that stand beside those of the paper."""
    loaded = load_spec(FOLDER / "table6a.yaml")
    rows = [row for row in loaded.spec.rows if row.label in AP]
    return replace(loaded, spec=loaded.spec.model_copy(update={"rows": rows, "pairs": []}))


def fill(store: Store, catalog: Catalog, device: Device, loaded=None, leave_out=()) -> None:
    """Plausible records for every cell but those left out."""
    loaded = loaded or spec6a()
    found = cells(loaded, catalog, device)
    reference = next(c.run_id for c in found if (c.row, c.measure) == ("1.0", "throughput"))
    for cell in found:
        # trainings with other seeds have no weights
        if (cell.row, cell.measure) in leave_out or cell.seed is not None:
            continue
        if cell.measure == "accuracy":
            metrics = accuracy(cell.row)
        elif cell.measure == "cost":
            metrics = cost(cell.options["alpha"])
        else:
            session = {"reference_run_id": reference, "reference_images_per_s": SPEED["1.0"]}
            metrics = {"images_per_s": SPEED[cell.row], "noisy": cell.row == "0.5", "samples_ms": [1.0] * 12, **session}
        made = {"utc": "2026-01-02T03:04:05+00:00", "model": cell.model, "dataset": cell.dataset}
        store.save(Record(cell.identity, metrics, cell.spec, cell.row, cell.tier, made))


def save_speed(store: Store, catalog: Catalog, device: Device, label: str, images_per_s: float) -> None:
    """The speed of one row of Table 6a, timed by itself."""
    cell = next(c for c in cells(spec6a(), catalog, device) if (c.row, c.measure) == (label, "throughput"))
    metrics = {"images_per_s": images_per_s, "latency_ms_p50": 2e3 / images_per_s, "samples_ms": [1.0]}
    store.save(Record(cell.identity, metrics, cell.spec, cell.row, cell.tier))


def table6a(store, catalog, device=None):
    return build(spec6a(), catalog, device or local_device("cpu"), store)


def numbers_for_files(store, catalog, monkeypatch, chosen="cpu") -> pd.DataFrame:
    """What a file of Table 6a holds where a device was chosen, by label."""

    def tables(names=(), *, tier="nano", device=chosen, store=store):
        return [table6a(store, catalog, pick_device(device, store))]

    monkeypatch.setattr(raw, "build_tables", tables)
    return raw.for_files(tables(), ["6a"], device=chosen, store=store)[0].frame.set_index("label")


def test_the_columns_of_table_6(store, catalog):
    fill(store, catalog, local_device("cpu"))
    table = table6a(store, catalog)
    assert list(table.shown.columns) == [
        "α", "AP (nano tier)", "AP (paper)", "GFLOPs (multiply-adds)", "GFLOPs (paper)", "Δ %",
        "images/s on this device", "speed relative to α = 1.0",
    ]  # fmt: skip
    assert table.shown["AP (nano tier)"].tolist()[1].startswith("40.0 [38.")
    assert table.shown["GFLOPs (multiply-adds)"].tolist() == ["–", "11.75", "15.72", "17.06", "18.14", "24.72", "–"]
    assert table.shown["Δ %"].tolist() == ["–", "-11.7", "-0.5", "-0.2", "-0.3", "-0.7", "–"]
    assert table.shown["images/s on this device"].tolist() == ["–", "20.0", "16.0", "15.0", "14.0 ~", "10.0", "–"]
    assert table.shown["speed relative to α = 1.0"].tolist() == ["–", "2.00", "1.60", "1.50", "1.40", "1.00", "–"]


def test_what_stands_under_the_table(store, catalog):
    fill(store, catalog, local_device("cpu"))
    footer = "\n".join(table6a(store, catalog).footer)
    for said in (
        "² Several counts give the paper's 13.3 GFLOPs at α = 0 within 0.2 %",
        "nano tier, sharpose-nano-128x96 on mannequin2-val (1,100 people in 520 images), ground-truth boxes",
        "0.0 → 0.3: +10.0 [+10.0, +10.0]",
        "lower than the row before, beyond the interval: 0.5.",
        "fvcore, torch's counter and the closed form agree to 0.001 %",
        f"sharpose-base-256x192 on {local_device('cpu')}, fp32, batch 2",
        "~ noisy",
        "measured here, last on 2026-01-02",
        "No early exit in this table",
        "One elastic model",
    ):
        assert said in footer
    # the control is another model: no paired difference to it
    assert "1.0 → mean pose" not in footer


def test_a_missing_cell_is_a_dash_with_its_reason_and_never_the_papers_value(store, catalog, tmp_path):
    fill(store, catalog, local_device("cpu"), leave_out={("0.3", "accuracy"), ("0.3", "cost"), ("0.4", "throughput")})
    table = table6a(store, catalog)
    row = table.shown.iloc[2].tolist()
    assert row == ["0.3", "–", "74.8", "–", "15.8", "–", "16.0", "1.60"]
    assert table.frame.loc[2, ["ap", "gflops"]].isna().all() and table.frame.loc[2, "ap_paper"] == 74.8
    assert "– throughput of 0.4: not measured yet (sharpose run table6a)." in table.footer
    empty = build(
        load_spec(FOLDER / "table6a.yaml"), Catalog("nano", Places(weights=tmp_path / "no")), local_device("cpu"), store
    )
    assert any("no weights of sharpose-nano-128x96" in line for line in empty.footer)


def test_speeds_of_another_device_are_never_shown_as_this_ones(store, catalog):
    fill(store, catalog, GPU)
    here = table6a(store, catalog)
    assert set(here.shown["images/s on this device"]) == {"–"}
    assert f"choose with --device: {GPU}" in "\n".join(here.footer)
    there = table6a(store, catalog, pick_device("nvidia test", store))
    assert "images/s on NVIDIA Test 9000" in there.shown.columns
    assert set(there.frame["device"]) == {str(GPU)}
    with pytest.raises(SpecError, match=r"device 'tpu' means 0 devices .* NVIDIA Test 9000"):
        pick_device("tpu", store)


def test_a_file_keeps_the_speeds_of_a_device_that_is_not_here(store, catalog, monkeypatch):
    published = Device("cpu", "Some Published CPU", 8)
    fill(store, catalog, published)
    fill(store, catalog, GPU)

    def numbers(chosen: str = "cpu"):
        return numbers_for_files(store, catalog, monkeypatch, chosen)

    # nothing was timed here: what the printed table cannot show, the file has under its device's name
    assert set(table6a(store, catalog).shown["images/s on this device"]) == {"–"}
    frame = numbers()
    assert frame["images_per_s"].dropna().to_dict() == SPEED and frame.loc["0.3", "speed_relative"] == 1.6
    timed = frame.loc[list(SPEED)]
    assert set(timed["device"]) == {str(published)} and timed["throughput_run_id"].notna().all()
    assert frame.loc[["coarse only", "mean pose"], ["device", "throughput_run_id"]].isna().all(axis=None)
    assert frame["images_per_s"].dtype == float
    # a row timed here alone, without the row that it is compared with, keeps the speed of the device that has both
    here, speeds = local_device("cpu"), ["images_per_s", "speed_relative", "device"]
    save_speed(store, catalog, here, "0.4", 90.0)
    assert numbers().loc["0.4", speeds].tolist() == [15.0, 1.5, str(published)]
    # with that row it has this device, and the others keep theirs
    save_speed(store, catalog, here, "1.0", 50.0)
    mixed = numbers()
    assert mixed.loc["0.4", speeds].tolist() == [90.0, 1.8, str(here)]
    assert mixed.loc["1.0", speeds].tolist() == [50.0, 1.0, str(here)]
    assert mixed.loc["0.3", speeds].tolist() == [16.0, 1.6, str(published)]
    # who names a device gets that one alone
    assert set(numbers("nvidia test")["device"].dropna()) == {str(GPU)}


def test_a_file_never_compares_the_speeds_of_two_devices(store, catalog, monkeypatch):
    # the device with most speeds lacks the row that all are compared with, and two others have different rows beside it
    most, second, third = (Device("cpu", f"CPU {name}", 2) for name in "ABC")
    speeds = {most: {"0.0": 1.0, "0.3": 2.0, "0.4": 3.0, "0.5": 4.0}}
    speeds |= {second: {"0.3": 16.0, "0.4": 12.0, "1.0": 8.0}, third: {"0.0": 60.0, "1.0": 20.0}}
    for device, rows in speeds.items():
        for label, speed in rows.items():
            save_speed(store, catalog, device, label, speed)
    frame = numbers_for_files(store, catalog, monkeypatch)
    timed = frame[["images_per_s", "speed_relative", "device"]].dropna().apply(tuple, axis=1).to_dict()
    assert timed == {
        "0.0": (60.0, 3.0, str(third)),
        "0.3": (16.0, 2.0, str(second)),
        "0.4": (12.0, 1.5, str(second)),
        "1.0": (8.0, 1.0, str(second)),
    }
    # nobody has timed it beside the row that it is compared with
    lacking = ["images_per_s", "latency_ms_p50", "speed_relative", "device", "throughput_run_id"]
    assert frame.loc["0.5", lacking].isna().all()
    # a printed column is of one device, so it has the speed, and says why there is no ratio
    printed = table6a(store, catalog, most)
    assert printed.shown.iloc[4, -2:].tolist() == ["4.00", "–"]
    why = f"– throughput of 0.0, 0.3, 0.4, 0.5 relative to 1.0: it has none on {most}."
    assert why in printed.footer and not any(line.startswith("†") for line in printed.footer)


def test_a_speed_timed_in_another_session_is_marked(store, catalog):
    device = local_device("cpu")
    fill(store, catalog, device)
    cell = next(
        c
        for c in cells(load_spec(FOLDER / "table6a.yaml"), catalog, device)
        if (c.row, c.measure) == ("0.3", "throughput")
    )
    store.save(Record(cell.identity, {"images_per_s": 15.0, "samples_ms": [1.0]}, "other", "x", "paper-size"))
    table = table6a(store, catalog)
    assert table.shown["speed relative to α = 1.0"].tolist()[2] == "1.50 †"
    assert any(line.startswith("† not timed in one session") for line in table.footer)


def test_data_sets_are_never_mixed_in_a_column(store, catalog, tmp_path):
    text = (FOLDER / "table6a.yaml").read_text()
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(
        (FOLDER / "tiers.yaml").read_text()
        .replace("coco-val: mannequin2-val\n", "coco-val: mannequin2-val\n      other: tiny\n")
        .replace("\ndatasets:\n", "\ndatasets:\n  tiny: {mannequin: mannequin-tiny}\n")
    )  # fmt: skip
    path = tmp_path / "mixed.yaml"
    path.write_text(text.replace("{model.alpha: 0.4}", "{model.alpha: 0.4, dataset: other}"))
    mixed = Catalog("nano", replace(catalog.places, tiers=tiers))
    with pytest.raises(
        SpecError, match=r"mixed.yaml:\d+: row '0.4': its accuracy has another dataset than row 'coarse only'"
    ):
        build(load_spec(path), mixed, local_device("cpu"), store)


def test_a_truncated_record_is_named(store, catalog):
    fill(store, catalog, local_device("cpu"))
    path = next(store.local.glob("cost/*.json"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match=f"{path.name}: this record is truncated"):
        table6a(store, catalog)


def test_markdown_latex_and_json(store, catalog):
    fill(store, catalog, local_device("cpu"))
    table = table6a(store, catalog)
    markdown = render(table, "markdown").splitlines()
    title = "Table 6a: effect of alpha, SHaRPose-Base 256x192 (nano tier: not known whether converged)"
    assert markdown[0] == f"**{title}**" and markdown[3].startswith("| --- |")
    assert markdown[5].startswith("| 0.0 ² | 40.0 [")
    latex = render(table, "latex")
    assert r"\toprule" in latex and r"\bottomrule" in latex and r"$\Delta$ \%" in latex
    text = render(table, "text", width=150)
    assert "24.72" in text and max(map(len, text.splitlines())) <= 150
    rows = json.loads(json.dumps(as_dict(table)))["rows"]
    assert rows[5]["speed_relative"] == 1.0 and rows[6]["gflops"] is None
    with pytest.raises(SpecError, match="format 'html' is not known"):
        render(table, "html")


def test_the_csv_holds_raw_numbers_intervals_device_and_run_ids(store, catalog, tmp_path):
    fill(store, catalog, local_device("cpu"))
    path = write_csv(table6a(store, catalog), tmp_path / "csv")
    assert path.name == "table6a.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["label"] for row in rows] == list(AP)
    first = rows[1]
    assert float(first["ap"]) == 40.0 and 37 < float(first["ap_low"]) < 40 < float(first["ap_high"]) < 43
    assert float(first["gflops"]) == pytest.approx(11.747, abs=1e-3) and float(first["gflops_paper"]) == 13.3
    assert first["device"] == str(local_device("cpu")) and len(first["throughput_run_id"]) == 16
    assert rows[6]["cost_run_id"] == "" and rows[2]["ap_minus_previous"] == "10"
