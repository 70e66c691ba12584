"""The rows of a table with the records found for them, and what may stand in one column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from analysis.tables.statistics import LEAST_MARGINS, MARGIN, Interval, paired_difference, paired_replicates, score_of
from experiments.cells.cells import Cell
from experiments.cells.provenance import Device, local_device
from experiments.spec.spec import SETTINGS_SHOWN, LoadedSpec, Row
from experiments.spec.yamlfile import SpecError
from results.records import Record
from results.store import Store
from sharpose.evaluation.metrics.significance import Comparison, compare_replicates
from sharpose.runtime.errors import nearest

# Numbers in one column are comparable only where these parts of their identities agree.
SAME_IN_A_COLUMN = {
    "accuracy": ("dataset", "boxes"),
    "throughput": ("device", "threads", "batch_size", "refine_rate", "precision", "scope"),
}


@dataclass(frozen=True)
class Stored:
    """A cell and its record; None where there is none yet."""

    cell: Cell
    record: Record | None


@dataclass(frozen=True)
class Line:
    """A row of a spec with its cells and the records found for them, by measure.

    With its further trainings, and its accuracy on further people, by data set.
    """

    row: Row
    cells: Mapping[str, Cell]
    records: Mapping[str, Record]
    seeds: tuple[Stored, ...] = ()
    test_sets: Mapping[str, Stored] = field(default_factory=dict)

    def metric(self, measure: str, key: str) -> Any:
        """Return a measured value, None where there is none."""
        record = self.records.get(measure)
        return None if record is None else record.metrics.get(key)


def read_lines(loaded: LoadedSpec, found: list[Cell], store: Store) -> list[Line]:
    """Return the rows of a spec in its order, each with what the store has of its cells."""
    lines = []
    for row in loaded.spec.rows:
        stored = [Stored(cell, stored_record(cell, store)) for cell in found if cell.row == row.label]
        own = {one.cell.measure: one for one in stored if one.cell.seed is None and one.cell.test_set is None}
        seeds = tuple(one for one in stored if one.cell.seed is not None)
        others = {one.cell.test_set: one for one in stored if one.cell.test_set is not None}
        known = {measure: one.record for measure, one in own.items() if one.record is not None}
        lines.append(Line(row, {measure: one.cell for measure, one in own.items()}, known, seeds, others))
    return lines


def records_of(lines: Iterable[Line], measure: str) -> list[Record]:
    """Return the records of a measure that rows have, in their order."""
    return [line.records[measure] for line in lines if measure in line.records]


def row_of(lines: Iterable[Line], label: str, where: object) -> Line:
    """Return the row with a label. Raises SpecError, which says `where` there is none."""
    found = {line.row.label: line for line in lines}
    if label not in found:
        raise SpecError(f"{where} has no row {label!r}{nearest(label, list(found))}")
    return found[label]


def grouped(said: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return pairs of a label and what is said of it as the labels of everything that is said, in order."""
    groups: dict[str, list[str]] = {}
    for label, fact in said:
        groups.setdefault(fact, []).append(label)
    return groups


def stored_record(cell: Cell, store: Store) -> Record | None:
    """Return the record of a cell; None where it is not stored, or what determines the cell is not known here."""
    return None if cell.identity is None else store.find(cell.identity)


def refuse_mixtures(loaded: LoadedSpec, lines: list[Line]) -> None:
    """Raise SpecError where numbers in one column could not be compared."""
    for measure, keys in SAME_IN_A_COLUMN.items():
        known = [line for line in lines if measure in line.cells and line.cells[measure].identity is not None]
        for line in known[1:]:
            for key in keys:
                shown = key in SETTINGS_SHOWN and key in loaded.spec.columns
                if not shown and identity(line, measure).get(key) != identity(known[0], measure).get(key):
                    other = f"has another {key} than row {known[0].row.label!r}"
                    raise loaded.row_error(line.row, f"its {measure} {other}; make two tables of them")


def identity(line: Line, measure: str) -> dict[str, Any]:
    """Return what determines a row's cell of a measure; empty where that is not known here."""
    return line.cells[measure].identity or {}


def previous_difference(loaded: LoadedSpec, lines: list[Line], index: int) -> Interval | None:
    """The paired AP difference to the row before, where the spec asks for it and both rows are the same model."""
    if loaded.spec.paired_with != "previous" or index == 0:
        return None
    now, before = lines[index].records.get("accuracy"), lines[index - 1].records.get("accuracy")
    if now is None or before is None or weights_of(now) != weights_of(before):
        return None
    # controls are compared with the row that they are controls of, by `pairs`
    if any("selection" in (record.identity["model"] or {}) for record in (now, before)):
        return None
    return paired_difference(now.metrics, before.metrics)


def weights_of(record: Record) -> Any:
    """Return what identifies an accuracy record's network: its weights' hash or, of a peer, how it is read."""
    return record.identity.get("weights_sha256", record.identity["model"])


def compare_records(ours: Record | None, *others: Record | None) -> Comparison | None:
    """Test one score minus another, or minus the mean of several; None where one is missing or they do not pair.

    Scores that are low beside the margin are never called equivalent.
    """
    if ours is None or None in others:
        return None
    theirs, score = [one.metrics for one in others if one is not None], score_of(ours.metrics)
    drawn = [paired_replicates(ours.metrics, one) for one in theirs]
    replicates = [one for one in drawn if one is not None]
    if len(replicates) < len(drawn):
        return None
    mean = fmean(one[score] for one in theirs)
    tested = compare_replicates(ours.metrics[score] - mean, np.mean(replicates, axis=0), MARGIN)
    return replace(tested, equivalent=tested.equivalent and max(ours.metrics[score], mean) >= LEAST_MARGINS * MARGIN)


def compared_row(loaded: LoadedSpec, lines: list[Line]) -> Line:
    """Return the row that speeds are compared with."""
    return next(line for line in lines if line.row.label == loaded.spec.compare_with)


def relative_speed(line: Line, reference: Line) -> float | None:
    """Return speed relative to another row: as timed in one session where there was one, else from both records."""
    ours, theirs = line.metric("throughput", "images_per_s"), reference.metric("throughput", "images_per_s")
    if timed_together(line, reference):
        theirs = line.metric("throughput", "reference_images_per_s")
    return ours / theirs if ours and theirs else None


def timed_together(line: Line, reference: Line) -> bool:
    """Return whether the record of a speed holds the other row's speed of the same session."""
    other = reference.cells.get("throughput")
    return other is not None and line.metric("throughput", "reference_run_id") == other.run_id


def pick_device(name: str, store: Store) -> Device:
    """Return this machine's `cpu` or `cuda`, or the device of a stored speed whose name starts with `name`.

    Raises SpecError where it is the beginning of no stored name, or of several.
    """
    if name in ("cpu", "cuda"):
        return local_device(name)
    stored = stored_devices(store, "throughput", "bench")
    matches = [device for device in stored if str(device).lower().startswith(name.lower())]
    if len(matches) != 1:
        known = "; ".join(map(str, stored)) or "none"
        raise SpecError(
            f"device {name!r} means {len(matches)} devices with stored speeds; use cpu, cuda, or one of: {known}"
        )
    return matches[0]


def stored_devices(store: Store, *measures: str) -> list[Device]:
    """Return every device that a stored speed of these measures was measured on; of throughput, where none is named."""
    return sorted({device_of(record) for one in measures or ("throughput",) for record in store.records(one)}, key=str)


def device_of(record: Record) -> Device:
    """Return the device that a speed was measured on."""
    name, threads = record.identity["device"], record.identity["threads"]
    return Device("cuda" if threads is None else "cpu", name, threads)


def most_timed(store: Store) -> list[Device]:
    """Return every device that a speed of a table's row is stored of, those with most speeds first."""
    speeds = Counter(map(device_of, store.records("throughput")))
    return sorted(speeds, key=lambda device: (-speeds[device], str(device)))


def other_devices(device: str, store: Store) -> list[str]:
    """What may stand in for this machine's `cpu` or `cuda`: others of its kind, those with most stored speeds first.

    Nothing may for a device that was chosen by its name.
    """
    if device not in ("cpu", "cuda"):
        return []
    return [str(one) for one in most_timed(store) if one.kind == device and one != local_device(device)]
