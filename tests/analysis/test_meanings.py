"""docs/columns.md is what its command writes, and explains every column there is."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.tables.columns import COLUMNS as TABLE
from analysis.tables.meanings import ENDINGS, FILES, PAGE, text
from analysis.tables.raw import with_keys
from experiments.spec.columns import COLUMNS
from results.store import ROOT

HEADERS = {
    path.relative_to(ROOT / "csv").as_posix(): next(csv.reader(path.open(encoding="utf-8")))
    for path in sorted((ROOT / "csv").rglob("*.csv"))
}


MEASURES = ("accuracy", "cost", "throughput", "predictions", "bench", "deployed", "ap_seeds")
# a score on further people: its name, and theirs
PEOPLE = re.compile(r"^(ap|pck|accuracy)_[a-z0-9]+(-[a-z]+)*$")


def is_known(column: str) -> bool:
    """Whether a column of a CSV file is explained: by its name, its name and an ending, or further people's."""
    if column in FILES or PEOPLE.match(column):
        return True
    return any(
        column.endswith(end) and ((stem := column.removesuffix(end)) in MEASURES or is_known(stem)) for end in ENDINGS
    )


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "run python -m analysis.tables.meanings"


@pytest.mark.parametrize("name", HEADERS)
def test_every_column_of_a_file_is_explained(name: str) -> None:
    assert not [column for column in HEADERS[name] if not is_known(column)]


def test_every_explanation_is_of_a_column_that_is_there() -> None:
    written = {column for header in HEADERS.values() for column in header}
    assert set(FILES) <= written
    assert all(any(column.endswith(end) for column in written) for end in ENDINGS)
    assert set(TABLE) == set(COLUMNS)
    assert not is_known("beauty") and not is_known("beauty_low") and not is_known("_run_id")


def test_rows_of_all_files_have_keys_that_join() -> None:
    frames = {name: pd.read_csv(ROOT / "csv" / name) for name in HEADERS if "/" not in name}
    for name, frame in frames.items():
        stem = Path(name).stem
        assert frame["row_id"].str.startswith("bench: " if stem == "operators" else f"{stem}: ").all(), name
        assert frame["model"].notna().all(), name
        if "gflops" in frame:
            assert frame["gmacs"].equals(frame["gflops"]), name
    rows = pd.concat([frame[["row_id"]].drop_duplicates() for name, frame in frames.items() if name != "operators.csv"])
    assert not rows["row_id"].duplicated().any()
    joined = frames["bench.csv"].merge(frames["operators.csv"], on=["row_id", "bench_run_id"], validate="one_to_one")
    assert len(joined) == len(frames["operators.csv"]) and (joined["label_x"] == joined["label_y"]).all()
    bench = frames["bench.csv"]
    assert bench["gmacs"].equals(bench["macs"] / 1e9)


def test_keys_stand_beside_the_label_and_nothing_else_moves() -> None:
    frame = pd.DataFrame({"label": ["a", "b"], "ap": [1.0, 2.0], "gflops": [3.0, None], "cost_run_id": ["x", None]})
    keyed = with_keys("mine", frame, {"a": "one", "b": "two"})
    assert list(keyed) == ["label", "row_id", "model", "ap", "gflops", "gmacs", "cost_run_id"]
    assert keyed["row_id"].tolist() == ["mine: a", "mine: b"] and keyed["model"].tolist() == ["one", "two"]
    assert keyed[list(frame)].equals(frame)
