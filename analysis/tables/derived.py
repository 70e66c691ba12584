"""Numbers that follow from a record alone but take seconds to compute: kept in the store as records of their own.

They are never asked for by name: one that is missing, damaged, or of another version of its record is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from experiments.cells.provenance import local_device, provenance
from results.records import Record, StoreError
from results.store import Store

VERSION = 1
"""Raised when a change to the code would change what is computed."""

Columns = dict[str, list[float | None]]


def derive(
    measure: str,
    how: Mapping[str, Any],
    source: Record,
    compute: Callable[[], dict[str, Any]],
    *,
    asked_by: tuple[str, str],
    store: Store,
) -> Record:
    """Return what `compute` makes of `source` with the settings `how`: as stored, else computed and kept.

    asked_by: spec and row. The identity holds the hash of the source's numbers, so that a source measured again counts.
    """
    numbers = json.dumps(source.metrics, sort_keys=True).encode()
    made_of = {"source": source.run_id, "source_sha256": hashlib.sha256(numbers).hexdigest()}
    identity = {"measure": measure, "version": VERSION, **made_of, **how}
    # a damaged one is written anew
    with suppress(StoreError):
        found = store.find(identity)
        if found is not None:
            return found
    names: dict[str, Any] = {key: source.provenance[key] for key in ("model", "dataset") if key in source.provenance}
    spec, row = asked_by
    record = Record(identity, compute(), spec, row, source.tier, provenance(local_device("cpu")) | names)
    # where nothing can be written, it is computed every time
    with suppress(StoreError):
        store.save(record)
    return record


def columns_of(frame: pd.DataFrame) -> Columns:
    """Return the numbers of a table for a record, which knows None and not NaN."""
    return {str(name): [None if pd.isna(value) else float(value) for value in values] for name, values in frame.items()}


def frame_of(columns: Columns) -> pd.DataFrame:
    """Return the table that `columns_of` took apart."""
    return pd.DataFrame(columns, dtype=float)
