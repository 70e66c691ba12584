"""Accuracy against cost and speed: every row of the tables as a point."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.tables.lines import stored_devices
from analysis.tables.tables import Table, build_tables
from results.store import Store

COLUMNS = ["ap", "ap_low", "ap_high", "ap_paper", "gflops", "gflops_paper", "images_per_s", "images_per_s_paper"]
RUNS = ["accuracy_run_id", "cost_run_id", "throughput_run_id"]


def points(tables: Iterable[Table]) -> pd.DataFrame:
    """Return one line per row with a cost, or per quality threshold of a row, of tables that have AP.

    Columns: `table`, `label`, `device` of its speed, AP with its interval in percent, GFLOPs, images/s, the paper's
    values, run ids; NaN or None where nothing was measured.
    """
    rows = []
    for table in (one for one in tables if {"label", "ap"} <= set(one.frame.columns)):
        for row in table.frame.to_dict("records"):
            found = {key: row.get(key) for key in ["label", "device", *COLUMNS, *RUNS]}
            if "threshold" in row:
                found["label"] = f"{row['label']}, Q {row['threshold']:.3f}"
            # the AP of a threshold comes from stored predictions
            found["accuracy_run_id"] = found["accuracy_run_id"] or row.get("predictions_run_id")
            if pd.notna(found["gflops"]) or pd.notna(found["gflops_paper"]):
                rows.append({"table": table.id, **found})
    frame = pd.DataFrame(rows, columns=["table", "label", "device", *COLUMNS, *RUNS])
    return frame.astype(dict.fromkeys(COLUMNS, float))


def points_of_all_devices(tier: str = "nano", store: Store | None = None) -> pd.DataFrame:
    """Return `points` of every table, once for every device that a speed is stored of."""
    store = store or Store()
    devices = [str(device) for device in stored_devices(store)] or ["cpu"]
    frames = [points(build_tables(tier=tier, device=device, store=store)) for device in devices]
    return pd.concat(frames, ignore_index=True)
