"""Stored cells measured again, to see whether what is stored holds here. Nothing in the store is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from experiments.cells.address import find_cells, find_record, is_run_id, places_of, tier_of
from experiments.cells.cells import Cell, cells
from experiments.cells.expected import Recheck, compare
from experiments.cells.measures import measure
from experiments.cells.provenance import Device, local_device
from experiments.run.run import Say, alongside, print_line, wanted_measures
from experiments.spec.catalog import Catalog, open_catalog
from experiments.spec.measures import MEASURES
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from results.records import Record
from results.store import Store
from sharpose.runtime.errors import InputError
from sharpose.runtime.progress import Reporter

Verdict = Literal["as expected", "differs", "not compared"]


@dataclass(frozen=True)
class Check:
    """A stored cell beside its new measurement; `reason` says why there is none."""

    name: str
    run_id: str
    measured_on: str
    comparisons: tuple[Recheck, ...] = ()
    reason: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the stored number holds."""
        if self.reason is not None:
            return "not compared"
        return "as expected" if all(one.holds for one in self.comparisons) else "differs"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        compared = [{**asdict(one), "holds": one.holds} for one in self.comparisons]
        return {**asdict(self), "verdict": self.verdict, "comparisons": compared}


@dataclass(frozen=True)
class Target:
    """Stored cells of one tier that are to be measured again, with the specs whose rows they are."""

    catalog: Catalog
    specs: list[LoadedSpec]
    every: list[Cell]
    stored: list[tuple[Cell, Record]]


def verify(
    name: str,
    *,
    tier: str = "nano",
    device: str = "cpu",
    coco: Path | None = None,
    measures: Collection[str] | None = None,
    limit: int | None = None,
    store: Store | None = None,
    say: Say = print_line,
) -> list[Check]:
    """Measure what `name` means again: a run id or its beginning, `TABLE:ROW[:COLUMN]`, or every cell of a table.

    The cheapest come first, and of many no more than `limit`. Raises InputError where nothing stored is meant.
    """
    store, here = store or Store(), local_device(device)
    target = find_target(name, tier, here, coco, store)
    meant = wanted_measures(measures)
    wanted = {cell.run_id: (cell, record) for cell, record in target.stored if cell.measure in meant}
    order = list(MEASURES)
    ordered = sorted(wanted.values(), key=lambda pair: order.index(pair[0].measure))
    if not ordered:
        raise InputError(
            f"{name}: nothing of it is stored, so there is nothing to verify (`sharpose status` says what)"
        )
    return [check(cell, record, target, here, store, say) for cell, record in ordered[:limit]]


def find_target(name: str, tier: str, here: Device, coco: Path | None, store: Store) -> Target:
    """The stored cells that a name means. Raises InputError for a record that is no cell of a table."""
    if is_run_id(name):
        record = find_record(name, store)
        catalog, specs = open_catalog(tier_of(record), coco), load_specs()
        places = places_of(record, catalog, here, specs)
        if not places:
            raise InputError(
                f"{record.run_id} ({record.measure} of {record.spec} {record.row}): no cell of a table has this number "
                "now, as specs or weights have changed, or it is no table's; what made it: "
                f"{record.provenance.get('command', 'not noted')}"
            )
        own = [loaded for loaded in specs if loaded.id == places[0].spec]
        return Target(catalog, own, every_cell(own, catalog, here), [(places[0], record)])
    catalog = open_catalog(tier, coco)
    if ":" in name:
        own = load_specs([name.partition(":")[0]], tier)
        chosen = list(find_cells(name, catalog, here).cells)
    else:
        own = load_specs([name], tier)
        chosen = every_cell(own, catalog, here)
    found = [(cell, store.find(cell.identity)) for cell in chosen if cell.identity is not None]
    stored = [(cell, record) for cell, record in found if record is not None]
    return Target(catalog, own, every_cell(own, catalog, here), stored)


def every_cell(specs: Iterable[LoadedSpec], catalog: Catalog, device: Device) -> list[Cell]:
    """Return all cells of the specs."""
    return [cell for loaded in specs for cell in cells(loaded, catalog, device)]


def check(cell: Cell, record: Record, target: Target, here: Device, store: Store, say: Say) -> Check:
    """One cell measured again, unless its data or its device is not here."""
    made = str(record.provenance.get("device"))
    known = Check(cell.name, record.run_id, measured_on=made)
    if record.measure == "throughput" and (record.identity["device"], record.identity["threads"]) != (
        here.name,
        here.threads,
    ):
        return replace(known, reason=f"a speed of {made}, and this is {here}")
    if cell.blocked is not None:
        return replace(known, reason=cell.blocked)
    say(cell.name)
    reference = alongside([cell], target.specs, target.every)
    alone = cell.measure == "throughput"
    with store.quiet(alone=alone), Reporter(cell.name, 1) as report:
        _, metrics = next(iter(measure([cell], reference, target.catalog, here, report.progress)))
    return replace(known, comparisons=tuple(compare(record, metrics)))


def lines(checks: Sequence[Check]) -> list[str]:
    """For people: a line per cell, the metrics of those that differ, and the sums."""
    text: list[str] = []
    for one in checks:
        text.append(f"{one.verdict:12} {one.run_id} {one.name}" + (f" ({one.reason})" if one.reason else ""))
        same = [c.metric for c in one.comparisons if c.holds and c.low == c.high]
        text += [f"{'':12} the same: {', '.join(same)}"] if same else []
        text += [f"{'':12} {line(c)}" for c in one.comparisons if c.metric not in same]
    counts = {verdict: sum(one.verdict == verdict for one in checks) for verdict in ("as expected", "differs")}
    left = len(checks) - sum(counts.values())
    text.append(
        f"{len(checks)} stored cells: {counts['as expected']} as expected, {counts['differs']} not"
        + (f", {left} not compared" if left else "")
    )
    return text


def line(one: Recheck) -> str:
    """One metric: stored, now, and between what it may lie."""
    said = f"{one.metric} {number(one.stored)}, now {number(one.now)}"
    within = "" if one.low == one.high else f", expected {number(one.low)} to {number(one.high)}"
    return said + within + ("" if one.holds else "  DIFFERS")


def number(value: Any) -> str:
    """Return a value as text: fractions in four digits."""
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
