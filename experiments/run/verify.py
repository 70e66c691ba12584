"""Stored cells measured again, to see whether what is stored holds here. Nothing in the store is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Unpack

from experiments.cells.address import find_cells, find_record, is_run_id, places_of, tier_of
from experiments.cells.cells import Cell
from experiments.cells.expected import Recheck, compare
from experiments.cells.measures import measure
from experiments.run.run import Asked, Plan, Say, make_plan, print_line, wanted_measures
from experiments.spec.measures import MEASURES
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
        """Return whether the stored number holds."""
        if self.reason is not None:
            return "not compared"
        return "as expected" if all(one.holds for one in self.comparisons) else "differs"

    def as_dict(self) -> dict[str, Any]:
        """Return what stands for it in `--json`."""
        compared = [{**asdict(one), "holds": one.holds} for one in self.comparisons]
        return {**asdict(self), "verdict": self.verdict, "comparisons": compared}


def verify(name: str, *, limit: int | None = None, say: Say = print_line, **asked: Unpack[Asked]) -> list[Check]:
    """Measure what `name` means again: a run id or its beginning, `TABLE:ROW[:COLUMN]`, or every cell of a table.

    The cheapest come first, and of many no more than `limit`. Raises InputError where nothing stored is meant.
    """
    plan, stored = find_stored(name, asked)
    meant = wanted_measures(asked.get("measures"))
    wanted = {cell.run_id: (cell, record) for cell, record in stored if cell.measure in meant}
    order = list(MEASURES)
    ordered = sorted(wanted.values(), key=lambda pair: order.index(pair[0].measure))
    if not ordered:
        raise InputError(
            f"{name}: nothing of it is stored, so there is nothing to verify (`sharpose status` says what)"
        )
    return [check(cell, record, plan, say) for cell, record in ordered[:limit]]


def find_stored(name: str, asked: Asked) -> tuple[Plan, list[tuple[Cell, Record]]]:
    """Return the stored cells that a name means, and what they are among.

    Raises InputError for a record that is no cell of a table.
    """
    store = asked.get("store") or Store()
    if is_run_id(name, store):
        record = find_record(name, store)
        there = asked.copy()
        there["tier"] = tier_of(record)
        plan = make_plan((), **there)
        places = places_of(record, plan.catalog, plan.device, plan.specs)
        if not places:
            raise InputError(
                f"{record.run_id} ({record.measure} of {record.spec} {record.row}): no cell of a table has this number "
                "now, as specs or weights have changed, or it is no table's; what made it: "
                f"{record.provenance.get('command', 'not noted')}"
            )
        return plan, [(places[0], record)]
    plan = make_plan([name.partition(":")[0]], **asked)
    chosen = find_cells(name, plan.catalog, plan.device).cells if ":" in name else plan.every
    found = [(cell, plan.store.find(cell.identity)) for cell in chosen if cell.identity is not None]
    return plan, [(cell, record) for cell, record in found if record is not None]


def check(cell: Cell, record: Record, plan: Plan, say: Say) -> Check:
    """Measure one cell again, unless its data or its device is not here."""
    made, here = str(record.provenance.get("device")), plan.device
    known, alone = Check(cell.name, record.run_id, measured_on=made), record.measure == "throughput"
    if alone and (record.identity["device"], record.identity["threads"]) != (here.name, here.threads):
        return replace(known, reason=f"a speed of {made}, and this is {here}")
    if cell.blocked is not None:
        return replace(known, reason=cell.blocked)
    say(cell.name)
    with plan.store.quiet(alone=alone), Reporter(cell.name, 1) as report:
        _, metrics = next(iter(measure([cell], plan.reference([cell]), plan.catalog, here, report.progress)))
    return replace(known, comparisons=tuple(compare(record, metrics)))


def lines(checks: Sequence[Check]) -> list[str]:
    """Return text for people: a line per cell, the metrics of those that differ, and the sums."""
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
    """Return one metric: stored, now, and between what it may lie."""
    said = f"{one.metric} {number(one.stored)}, now {number(one.now)}"
    within = "" if one.low == one.high else f", expected {number(one.low)} to {number(one.high)}"
    return said + within + ("" if one.holds else "  DIFFERS")


def number(value: Any) -> str:
    """Return a value as text: fractions in four digits."""
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
