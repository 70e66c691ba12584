"""A cell by what people call it: `table3:ViTPose-B 256x192:ap`, or the run id that its record is named after.

Imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.cells.cells import PAPER_SIZE, Cell, cells
from experiments.cells.provenance import Device
from experiments.spec.catalog import EMBEDDED, Catalog
from experiments.spec.columns import COLUMNS
from experiments.spec.measures import MEASURES, own_columns
from experiments.spec.reading import find_specs, load_specs
from experiments.spec.spec import LoadedSpec, paper_first
from experiments.spec.yamlfile import SpecError
from results.records import RUN_ID_LENGTH, Record
from results.store import Store
from sharpose.runtime.errors import InputError, nearest

RUN_ID = re.compile(rf"[0-9a-f]{{1,{RUN_ID_LENGTH}}}")
SEEDS = "ap_seeds"


@dataclass(frozen=True)
class Address:
    """The cells of a table's row, and the column that was named, None where none was."""

    cells: tuple[Cell, ...]
    column: str | None


def is_run_id(text: str, store: Store) -> bool:
    """Return whether a word is a run id or the beginning of one, not the name of a table or of its row.

    Raises SpecError for what can be neither.
    """
    table, colon, _ = text.partition(":")
    try:
        find_specs(table)
    except SpecError as unknown:
        if RUN_ID.fullmatch(text):
            return True
        if any(record.spec == table for record in store.records()):
            reached = "show them by their ids, which their files are named after"
            raise SpecError(f"{text!r}: records of {table} stand in no table; {reached}") from None
        said = str(unknown) if colon else f"{text!r} is not the beginning of a record's id, and {unknown}"
        raise SpecError(said) from None
    return False


def find_record(prefix: str, store: Store) -> Record:
    """Return the stored record whose run id begins so. Raises InputError where none does, or more than one."""
    found = [record for record in store.records() if record.run_id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{prefix!r} is neither a spec nor the beginning of a record's id; CSVs of tables name these")
    several = ", ".join(sorted(record.run_id for record in found)[:5])
    raise InputError(f"{len(found)} run ids begin with {prefix} ({several}); give more digits")


def tier_of(record: Record) -> str:
    """Return the tier at whose cells a record is found; costs and speeds are the same at all."""
    return EMBEDDED if record.tier == PAPER_SIZE else record.tier


def device_of(record: Record, here: Device) -> Device:
    """Return the device that a speed was measured on; of other records any will do."""
    if record.measure != "throughput":
        return here
    name, threads = record.identity["device"], record.identity["threads"]
    return Device("cuda" if threads is None else "cpu", name, threads)


def places_of(record: Record, catalog: Catalog, here: Device, specs: Iterable[LoadedSpec] | None = None) -> list[Cell]:
    """Return every cell of the specs (by default of all) that a record fills.

    Those of the paper's tables come first, then the one that asked for it.
    """
    device = device_of(record, here)
    found = [
        cell
        for loaded in (load_specs() if specs is None else specs)
        if not loaded.spec.tiers or catalog.name in loaded.spec.tiers
        for cell in cells(loaded, catalog, device)
        if cell.run_id == record.run_id
    ]
    return sorted(found, key=lambda cell: (paper_first(cell.spec), (cell.spec, cell.row) != (record.spec, record.row)))


def find_cells(text: str, catalog: Catalog, device: Device) -> Address:
    """Return the cells that `TABLE:ROW` or `TABLE:ROW:COLUMN` means; a row by its label or the beginning of one.

    Raises SpecError, naming what is nearest, where there is no such table, row or column, or more than one row.
    """
    table, _, rest = text.partition(":")
    specs = load_specs([table], catalog.name)
    if not rest:
        raise SpecError(f"{text!r} names no row; write {specs[0].id}:{specs[0].spec.rows[0].label}")
    row, _, column = rest.rpartition(":")
    found = [(loaded, label) for loaded in specs for label in rows_called(rest, loaded)]
    named: str | None = None
    if not found and row:
        found, named = [(loaded, label) for loaded in specs for label in rows_called(row, loaded)], column.lower()
    if not found:
        labels = [one.label for loaded in specs for one in loaded.spec.rows]
        # labels may hold colons, so what is no row with one may be one without
        raise SpecError(f"{text!r}: no row of {table} is called {row or rest!r}{nearest(row or rest, labels)}")
    if len(found) > 1:
        several = "; ".join(f"{loaded.id}:{label}" for loaded, label in found[:6])
        raise SpecError(f"{text!r} means {len(found)} rows: {several}")
    loaded, label = found[0]
    every = [cell for cell in cells(loaded, catalog, device) if cell.row == label]
    if not every:
        raise SpecError(f"{text!r}: {loaded.id} follows from configurations alone, so nothing of it is stored")
    if named is None:
        return Address(tuple(cell for cell in every if cell.seed is None), None)
    known = [*loaded.spec.columns, *loaded.spec.measure]
    if named not in known:
        raise SpecError(f"{text!r}: {loaded.id} has no column {named!r}{nearest(named, known)}")
    behind = {column: declared.measure for column, declared in COLUMNS.items()}
    behind |= {column: kind.name for column, kind in own_columns().items()}
    measure = named if named in MEASURES else behind[named]
    chosen = [cell for cell in every if cell.measure == measure and (cell.seed is not None) == (named == SEEDS)]
    if not chosen:
        raise SpecError(f"{text!r}: the row has no {measure}")
    return Address(tuple(chosen), named)


def rows_called(name: str, loaded: LoadedSpec) -> Sequence[str]:
    """Return labels equal to `name`, else those that begin with it, in any case."""
    labels = [row.label for row in loaded.spec.rows]
    if name in labels:
        return [name]
    return [label for label in labels if label.casefold().startswith(name.casefold())]
