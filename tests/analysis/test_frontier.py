"""Points of the frontier are the tables' own numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.tables.frontier import points
from analysis.tables.tables import build_tables


def test_points_are_the_numbers_of_the_tables():
    (table,) = build_tables(["6a"])
    frame = points([table]).set_index("label")
    assert frame.loc["0.4", "gflops"] == pytest.approx(17.06, abs=0.01)
    assert frame.loc["0.4", "ap_paper"] == 75.5
    own = table.frame.set_index("label").loc[frame.index]
    pd.testing.assert_series_equal(frame["ap"], own["ap"].astype(float))
    # controls have no cost, so they are no points
    assert "mean pose" not in frame.index and set(frame["table"]) == {"table6a"}


def test_every_threshold_is_a_point_of_its_own_with_the_run_behind_it():
    (table,) = build_tables(["figure6"], tier="photos")
    frame = points([table])
    assert len(frame) == len(table.frame) and frame["label"].is_unique
    assert frame["label"].iloc[1] == f"256x192, Q {table.frame['threshold'].iloc[1]:.3f}"
    assert frame["accuracy_run_id"].tolist() == table.frame["predictions_run_id"].tolist()
