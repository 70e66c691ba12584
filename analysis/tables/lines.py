"""The rows of a table with the records found for them, and what may stand in one column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.tables.statistics import LEVEL, MARGIN, Interval, paired_difference, paired_replicates
from experiments.cells.cells import Cell
from experiments.cells.provenance import Device, local_device
from experiments.spec.spec import SETTINGS_SHOWN, LoadedSpec, Row
from experiments.spec.yamlfile import SpecError
from results.records import Record
from results.store import Store
from sharpose.evaluation.metrics.significance import Comparison, compare_replicates, holm

# Numbers in one column are comparable only where these parts of their identities agree.
SAME_IN_A_COLUMN = {
    "accuracy": ("dataset", "boxes"),
    "throughput": ("device", "threads", "batch_size", "refine_rate", "precision", "scope"),
}


@dataclass(frozen=True)
class Seed:
    """The accuracy of one of a row's trainings with the shared budget, or on further people.

    `record` is None where there is none yet.
    """

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
    seeds: tuple[Seed, ...] = ()
    test_sets: Mapping[str, Seed] = field(default_factory=dict)

    def metric(self, measure: str, key: str) -> Any:
        """A measured value, None where there is none."""
        record = self.records.get(measure)
        return None if record is None else record.metrics.get(key)


def read_lines(loaded: LoadedSpec, found: list[Cell], store: Store) -> list[Line]:
    """Return the rows of a spec in its order, each with what the store has of its cells."""
    lines = []
    for row in loaded.spec.rows:
        cells = [cell for cell in found if cell.row == row.label]
        own: dict[str, Cell] = {c.measure: c for c in cells if c.seed is None and c.test_set is None}
        stored = {measure: stored_record(cell, store) for measure, cell in own.items()}
        seeds = tuple(Seed(cell, stored_record(cell, store)) for cell in cells if cell.seed is not None)
        others = {cell.test_set: Seed(cell, stored_record(cell, store)) for cell in cells if cell.test_set is not None}
        known = {name: record for name, record in stored.items() if record is not None}
        lines.append(Line(row, own, known, seeds, others))
    return lines


def stored_record(cell: Cell, store: Store) -> Record | None:
    """Return the record of a cell; None where it is not stored, or what determines the cell is not known here."""
    return None if cell.identity is None else store.find(cell.identity)


def refuse_mixtures(loaded: LoadedSpec, lines: list[Line]) -> None:
    """Raise SpecError where numbers in one column could not be compared."""
    for measure, keys in SAME_IN_A_COLUMN.items():
        first: Line | None = None
        for line in lines:
            if measure not in line.cells or line.cells[measure].identity is None:
                continue
            first = first or line
            for key in keys:
                if key in SETTINGS_SHOWN and key in loaded.spec.columns:
                    continue
                if identity(line, measure).get(key) != identity(first, measure).get(key):
                    raise loaded.row_error(
                        line.row,
                        f"its {measure} has another {key} than row {first.row.label!r}; make two tables of them",
                    )


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
    """What tells the network of a record of accuracy: the hash of its weights; of a peer, all that it is read by."""
    return record.identity.get("weights_sha256", record.identity["model"])


@dataclass(frozen=True)
class Pair:
    """A comparison that a spec names; `tested` is None where a score is missing or the rows do not pair.

    `p` is that of the comparison after Holm's correction over all of the spec's that could be made.
    """

    first: str
    second: str
    tested: Comparison | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """Which is higher; where neither is shown to be, whether they are equivalent."""
        if self.tested is None or self.p is None:
            return "not compared"
        value = self.tested.value
        if self.p < 1 - LEVEL:
            return ("higher" if value > 0 else "lower") + (", but equivalent" if self.tested.equivalent else "")
        return "equivalent" if self.tested.equivalent else "undecided"


def compared_pairs(loaded: LoadedSpec, lines: list[Line]) -> list[Pair]:
    """Return the comparisons that the spec names, tested together."""
    found = {line.row.label: line.records.get("accuracy") for line in lines}
    tested = [compare_records(found[first], found[second]) for first, second in loaded.spec.pairs]
    adjusted = iter(holm([one.p for one in tested if one is not None]))
    return [
        Pair(first, second, one, None if one is None else next(adjusted))
        for (first, second), one in zip(loaded.spec.pairs, tested, strict=True)
    ]


def compare_records(ours: Record | None, theirs: Record | None) -> Comparison | None:
    """The tests of one score minus another; None where one is missing or they do not pair."""
    if ours is None or theirs is None:
        return None
    difference = paired_difference(ours.metrics, theirs.metrics)
    replicates = paired_replicates(ours.metrics, theirs.metrics)
    return (
        None if difference is None or replicates is None else compare_replicates(difference.value, replicates, MARGIN)
    )


def seed_scores(line: Line) -> list[float]:
    """The AP of every training with the shared budget that is stored, whatever weights the row itself has."""
    records = [seed.record for seed in line.seeds if seed.record is not None]
    return [record.metrics["ap"] for record in records if record.metrics.get("ap") is not None]


def compared_row(loaded: LoadedSpec, lines: list[Line]) -> Line:
    """The row that speeds are compared with."""
    return next(line for line in lines if line.row.label == loaded.spec.compare_with)


def relative_speed(line: Line, reference: Line) -> float | None:
    """Speed relative to another row: as timed in one session where there was one, else from both records."""
    together = timed_together(line, reference)
    ours = line.metric("throughput", "images_per_s")
    theirs = (
        line.metric("throughput", "reference_images_per_s")
        if together
        else reference.metric("throughput", "images_per_s")
    )
    return ours / theirs if ours and theirs else None


def timed_together(line: Line, reference: Line) -> bool:
    """Whether the record of a speed holds the other row's speed of the same session."""
    other = reference.cells.get("throughput")
    return other is not None and line.metric("throughput", "reference_run_id") == other.run_id


def pick_device(name: str, store: Store) -> Device:
    """This machine's `cpu` or `cuda`, or the device of a stored speed whose name starts with `name`.

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
    """Every device that a stored speed of these measures was measured on; of throughput, where none is named."""
    identities = [record.identity for measure in measures or ("throughput",) for record in store.records(measure)]
    kinds = {
        (i["device"], i["threads"]): Device("cuda" if i["threads"] is None else "cpu", i["device"], i["threads"])
        for i in identities
    }
    return sorted(kinds.values(), key=str)


def most_timed(store: Store) -> list[Device]:
    """Every device that a speed of a table's row is stored of, those with most speeds first."""
    speeds = Counter((one.identity["device"], one.identity["threads"]) for one in store.records("throughput"))
    return sorted(stored_devices(store), key=lambda device: -speeds[device.name, device.threads])


def other_devices(device: str, store: Store) -> list[str]:
    """What may stand in for this machine's `cpu` or `cuda`: others of its kind, those with most stored speeds first.

    Nothing may for a device that was chosen by its name.
    """
    if device not in ("cpu", "cuda"):
        return []
    return [str(one) for one in most_timed(store) if one.kind == device and one != local_device(device)]
