"""Cells are found by the names that people give them, and what is no name is answered with the nearest."""

from __future__ import annotations

import pytest

from experiments.cells.address import device_of, find_cells, find_record, is_run_id, places_of, tier_of
from experiments.cells.cells import cells
from experiments.cells.provenance import Device
from experiments.spec.reading import load_spec
from experiments.spec.spec import FOLDER
from experiments.spec.yamlfile import SpecError
from results.records import Record
from sharpose.runtime.errors import InputError

HERE = Device("cpu", "a processor", 2)


def found(text, catalog):
    address = find_cells(text, catalog, HERE)
    return [(cell.row, cell.measure, cell.seed) for cell in address.cells], address.column


def test_a_row_and_a_column_name_one_cell(catalog, spec_path):
    assert found(f"{spec_path}:0.3:ap", catalog) == ([("0.3", "accuracy", None)], "ap")
    assert found(f"{spec_path}:0.3:GFLOPs", catalog) == ([("0.3", "cost", None)], "gflops")
    assert found(f"{spec_path}:1.0:speed", catalog) == ([("1.0", "throughput", None)], "speed")
    assert [measure for _, measure, _ in found(f"{spec_path}:mean", catalog)[0]] == ["accuracy"]


def test_labels_may_hold_colons_and_trainings_have_a_column(catalog):
    assert found("semantics:keep_rounding: floor:gflops", catalog)[0][0][0].startswith("keep_rounding: floor")
    assert found("6a:0.3:ap_seeds", catalog) == ([("0.3", "accuracy", seed) for seed in (0, 1, 2)], "ap_seeds")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("table3", "names no row"),
        ("table3:ViTPoze-B 256x192", "did you mean 'ViTPose-B 256x192'"),
        ("table3:ViTPose-B 256x192:app", "did you mean 'ap'"),
        ("table3:ViTPose", "means 3 rows"),
        ("table6a:mean pose:gflops", "the row has no cost"),
        ("schedules:ViTPose", "follows from configurations alone"),
    ],
)
def test_what_is_no_cell_is_said(text, said, catalog):
    with pytest.raises(SpecError, match=said):
        find_cells(text, catalog, HERE)


def test_a_record_by_the_beginning_of_its_run_id(store, catalog, spec_path):
    cell = find_cells(f"{spec_path}:0.3:gflops", catalog, HERE).cells[0]
    record = Record(cell.identity, {"params": 1}, "small", "0.3", cell.tier)
    other = Record({"measure": "cost", "version": 1, "model": "x"}, {}, "small", "other", "nano")
    store.save(record), store.save(other)
    assert find_record(record.run_id[:6], store).row == "0.3"
    assert is_run_id(record.run_id, store) and is_run_id("7a", store)
    assert not is_run_id("6a", store) and not is_run_id("table6a", store) and not is_run_id(str(spec_path), store)
    with pytest.raises(InputError, match="is neither a spec nor the beginning of a record's id"):
        find_record("f" * 16, store)
    with pytest.raises(InputError, match="2 run ids begin with"):
        find_record("", store)
    specs = [load_spec(spec_path)]
    assert [(one.row, one.measure) for one in places_of(record, catalog, HERE, specs)] == [("0.3", "cost")]
    assert places_of(other, catalog, HERE, specs) == []
    assert (tier_of(record), tier_of(Record({}, {}, "s", "r", "photos"))) == ("nano", "photos")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabel3", "'tabel3' is not the beginning of a record's id, and no spec is called 'tabel3'.*mean 'table3'"),
        ("tabel3:ViTPose", "no spec is called 'tabel3'"),
        ("bench:x", "records of bench stand in no table; show them by their ids"),
        ("bench", "records of bench stand in no table"),
    ],
)
def test_what_is_neither_a_table_nor_a_record_is_said(text, said, store):
    store.save(Record({"measure": "bench", "version": 1}, {}, "bench", "x", "paper-size"))
    with pytest.raises(SpecError, match=said):
        is_run_id(text, store)


def test_the_papers_tables_come_first_among_the_places_of_a_record(store, catalog):
    specs = [load_spec(FOLDER / f"{name}.yaml") for name in ("frontier", "related", "table8")]
    cell = next(one for one in cells(specs[1], catalog, HERE) if (one.row, one.measure) == ("SHaRPose", "cost"))
    record = Record(cell.identity, {}, "related", "SHaRPose", cell.tier)
    assert [one.spec for one in places_of(record, catalog, HERE, specs)] == ["table8", "related", "frontier"]


def test_a_speed_is_of_its_own_device(store, catalog, spec_path):
    there = Device("cpu", "another processor", 8)
    cell = find_cells(f"{spec_path}:1.0:speed", catalog, there).cells[0]
    record = Record(cell.identity, {}, "small", "1.0", cell.tier)
    assert device_of(record, HERE) == there
    assert [one.row for one in places_of(record, catalog, HERE, [load_spec(spec_path)])] == ["1.0"]
