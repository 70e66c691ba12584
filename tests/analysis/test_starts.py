"""Whether rows had an equal chance, from the manifests of their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.tables.lines import Line
from analysis.tables.manifests import read_training
from analysis.tables.trainings import compared_first, starts_text
from experiments.cells.cells import Cell
from experiments.spec.spec import Row

START = {"model": "pose", "steps": 100, "recipe": {"batch_size": 10}, "init": None}


def trained(folder: Path, name: str, init: dict[str, Any] | None) -> Path:
    path = folder / f"{name}.safetensors"
    made = {"model": name, "steps": 20, "recipe": {"batch_size": 10}, "init": init}
    path.with_suffix(".json").write_text(json.dumps(made))
    return path


def taken(matched: int, missing: list[str]) -> dict[str, Any]:
    return {"file": "start.safetensors", "manifest": START, "taken": {"matched": matched, "missing": missing}}


def line(label: str, path: Path | None, changes: dict[str, str] | None = None) -> Line:
    cell = Cell("spec", label, "accuracy", "nano", label, {}, weights=path)
    return Line(Row(label=label, set=changes or {}), {"accuracy": cell}, {})


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    return [
        line("scratch", trained(tmp_path, "scratch", None)),
        line("whole", trained(tmp_path, "whole", taken(5, []))),
        line("best", trained(tmp_path, "best", taken(5, [])), {"weights": "best"}),
        line("part", trained(tmp_path, "part", taken(3, ["head.weight", "head.bias"]))),
        line("control", None),
    ]


def test_crops_in_all_hold_those_of_every_start(tmp_path: Path) -> None:
    nested = {**taken(5, []), "manifest": {**START, "init": {"manifest": START}}}
    start = read_training(trained(tmp_path, "a", nested))
    assert start.noted and (start.own, start.before, start.crops) == (200, 2000, 2200)
    silent = tmp_path / "b.safetensors"
    silent.with_suffix(".json").write_text('{"model": "pose"}')
    assert not read_training(silent).noted


def test_other_starts_stand_below_the_line(lines: list[Line]) -> None:
    ordered, below = compared_first(lines, "shared")
    assert [one.row.label for one in ordered] == ["whole", "part", "control", "scratch", "best"] and below == 2
    # where everybody is from random weights, all are compared
    assert compared_first([lines[0], lines[4]], "shared") == ([lines[0], lines[4]], 0)


def test_the_footer_says_crops_starts_and_that_chances_were_not_equal(lines: list[Line]) -> None:
    said = starts_text(*compared_first(lines, "shared"))
    assert "whole, best: 1,200 (200 of them its own), all of its 5 tensors from start.safetensors" in said[0]
    assert "part: 1,200 (200 of them its own), 3 of its 5 tensors from start.safetensors, new: head" in said[0]
    assert "scratch: 200, random weights" in said[0]
    assert said[1].startswith("NOT an equal chance")
    assert said[2].endswith("their weights came about otherwise: scratch, best.")
    # one row has nobody to be unequal to
    assert len(starts_text(lines[1:2], 0)) == 1
