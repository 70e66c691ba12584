"""Raw numbers for files: a row that the chosen device has not timed keeps the speed of one that has.

A printed column is of one device, named in its header; a file names the device of every row instead, so that nothing
published is lost where tables are written on another machine. A row's speed is of a device that has also timed the row
that it is compared with, so that no ratio is of two machines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.tables.lines import other_devices
from analysis.tables.tables import Table, build_tables
from experiments.spec.reading import load_specs
from results.store import Store

RUN = "throughput_run_id"
SPEED = (
    *("images_per_s", "latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "batch_size", "noisy", "speed_relative"),
    *("device", RUN),
)
"""What of a row's raw numbers is one device's."""


def for_files(
    built: list[Table],
    names: Iterable[str | Path] = (),
    *,
    tier: str = "nano",
    device: str = "cpu",
    store: Store | None = None,
) -> list[Table]:
    """Return the tables `built` with these choices, each row with the speed and name of one device, or of none.

    Other devices are of the same kind, those with most stored speeds first; a device that was chosen by its name stands
    for itself alone.
    """
    store, names = store or Store(), list(names)
    models = [{row.label: loaded.settings(row).model for row in loaded.spec.rows} for loaded in load_specs(names, tier)]
    own = [replace(table, frame=comparable(table.frame)) for table in built]
    for other in other_devices(device, store) if any(untimed(table.frame).any() for table in own) else ():
        theirs = build_tables(names, tier=tier, device=other, store=store)
        own = [
            replace(mine, frame=completed(mine.frame, comparable(one.frame)))
            for mine, one in zip(own, theirs, strict=True)
        ]
    return [replace(one, frame=with_keys(one.id, one.frame, each)) for one, each in zip(own, models, strict=True)]


def with_keys(table: str, frame: pd.DataFrame, models: Mapping[str, str]) -> pd.DataFrame:
    """Return the raw numbers with what rows of several files are joined by.

    `row_id`, unique among all rows of all specs (its lines, of thresholds or blocks, share it), and the `model` that
    the row asks for; and multiply-adds under their own name, `gmacs`, beside the `gflops` of the paper.
    """
    keys: dict[str, Any] = {"row_id": [f"{table}: {label}" for label in frame["label"]]}
    if "model" not in frame:
        keys["model"] = [models.get(label) for label in frame["label"]]
    columns: dict[str, Any] = {"label": frame["label"], **keys}
    for name in map(str, frame):
        columns[name] = frame[name]
        # right of what it repeats
        if name in ("gflops", "macs"):
            columns["gmacs"] = frame[name].astype(float) * (1e-9 if name == "macs" else 1.0)
    return pd.DataFrame(columns)


def untimed(frame: pd.DataFrame) -> pd.Series:
    """Return which rows lack a speed, or a ratio where the table compares speeds; none where it has no speeds."""
    key = next((key for key in ("speed_relative", RUN) if key in frame), None)
    return pd.Series(False, index=frame.index) if key is None else frame[key].isna()


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of one device with neither speed nor device in rows that it cannot compare."""
    rows = untimed(frame)
    return frame.assign(**{name: frame[name].mask(rows) for name in SPEED if name in frame})


def completed(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with another device's speeds in the rows that have none."""
    rows = untimed(frame)
    chosen = {name: frame[name].where(~rows, other[name]) for name in SPEED if name in frame and name in other}
    # a column that was empty becomes one of numbers, which are then rounded alike
    return frame.assign(**chosen).infer_objects()
