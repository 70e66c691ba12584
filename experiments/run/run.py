"""What is missing → measure → store. Nothing here prints a table; with everything stored nothing imports torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from experiments.cells.cells import Cell, cells
from experiments.cells.measures import measure
from experiments.cells.provenance import Device, choose_device, local_device, provenance
from experiments.run.jobs import latest_notes
from experiments.spec.catalog import NO_WEIGHTS, Catalog, open_catalog
from experiments.spec.measures import MEASURES
from experiments.spec.reading import load_specs
from experiments.spec.spec import PEER, LoadedSpec, is_ours
from results.records import BadMetrics, Record
from results.store import Store
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.progress import Reporter, say

State = Literal["stored", "missing", "blocked"]
Say = Callable[[str], None]

POLL_S = 0.5


def wanted_measures(measures: Collection[str] | None) -> Collection[str]:
    """Return the named measures, or all. Raises InputError for an unknown one; plug-ins' are known once specs are."""
    for name in measures or ():
        if name not in MEASURES:
            raise InputError(f"--measure {name!r} does not work: it must be one of {', '.join(MEASURES)}")
    return measures or MEASURES


@dataclass(frozen=True)
class CellStatus:
    """Where a cell stands; `reason` says why a blocked one cannot be measured here, and which job has a missing one."""

    cell: Cell
    state: State
    record: Record | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        named = {name: getattr(self.cell, name) for name in ("spec", "row", "measure", "tier", "run_id")}
        published = self.record.published if self.record else None
        return {**named, "state": self.state, "published": published, "reason": self.reason}


@dataclass(frozen=True)
class Standing:
    """One table's cells of one measure, counted by state."""

    spec: str
    measure: str
    stored: int
    missing: int
    blocked: int


def standings(statuses: Iterable[CellStatus]) -> list[Standing]:
    """Return how far every table is, measure by measure."""
    counts: dict[tuple[str, str], Counter[State]] = {}
    for status in statuses:
        counts.setdefault((status.cell.spec, status.cell.measure), Counter())[status.state] += 1
    order = list(MEASURES)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    return [Standing(*key, count["stored"], count["missing"], count["blocked"]) for key, count in ordered]


def reasons(statuses: Iterable[CellStatus]) -> list[tuple[str, list[CellStatus]]]:
    """Return why cells cannot be measured here, the reason of most cells first; models without weights are counted."""
    found: dict[str, list[CellStatus]] = {}
    for status in statuses:
        if status.state == "blocked":
            found.setdefault(NO_WEIGHTS.sub("", status.reason or ""), []).append(status)
    ordered = sorted(found.values(), key=len, reverse=True)
    return [(common({status.reason or "" for status in those}), those) for those in ordered]


def common(reasons: set[str]) -> str:
    """Return one reason as it is; of reasons that differ in the model, how many models they are of."""
    first = next(iter(reasons))
    return first if len(reasons) == 1 else NO_WEIGHTS.sub(f"{len(reasons)} models", first)


@dataclass(frozen=True)
class Summary:
    """What a run did: how many cells it measured, where every cell stands now, and what failed."""

    measured: int
    statuses: list[CellStatus]
    failures: list[str] = field(default_factory=list)

    @property
    def blocked(self) -> list[CellStatus]:
        """Return the cells that cannot be measured on this machine."""
        return [status for status in self.statuses if status.state == "blocked"]


def status(names: Iterable[str | Path] = (), **asked: Unpack[Asked]) -> list[CellStatus]:
    """Return every cell of the specs: stored, missing, or blocked and why. Measures nothing."""
    here, no_device = choose_device(asked.get("device", "cpu"))
    plan = make_plan(names, here=here, **asked)
    notes = latest_notes(plan.store)
    return [
        replace(each, reason=notes[each.cell.name].line)
        if each.state == "missing" and each.cell.name in notes
        else each
        for each in plan.statuses(no_device)
    ]


def cell_status(cell: Cell, store: Store, no_device: str | None = None) -> CellStatus:
    """Return where one cell stands."""
    record = None if cell.identity is None else store.find(cell.identity)
    if record is not None:
        return CellStatus(cell, "stored", record)
    if cell.blocked is not None:
        return CellStatus(cell, "blocked", reason=cell.blocked)
    if cell.measure == "throughput" and no_device:
        return CellStatus(cell, "blocked", reason=no_device)
    return CellStatus(cell, "missing")


class Asked(TypedDict, total=False):
    """What is asked of tables: at which tier, on which device, with COCO in which folder, which measures (None: all).

    Records are looked up in `store`, and go there; None: the repository's.
    """

    tier: str
    device: str
    coco: Path | None
    measures: Collection[str] | None
    store: Store | None


def run_specs(
    names: Iterable[str | Path] = (),
    *,
    only: Collection[str] | None = None,
    again: bool = False,
    say: Say | None = None,
    **asked: Unpack[Asked],
) -> Summary:
    """Measure every missing cell of the specs (all of them with `again`) and store each record as soon as it is known.

    Of several processes none measures what another is measuring; each returns when all its cells are there.
    `only`: the names of the cells that are meant. What fails is in the summary, and the rest goes on. Raises InputError
    for bad specs, data or devices before anything is measured.
    """
    say, plan = say or print_line, make_plan(names, **asked)
    jobs = plan.jobs(again, only)
    measured, failures = 0, list[str]()
    if jobs:
        # before hours are spent on the rest
        for reason, those in reasons(plan.statuses()):
            say(f"{len(those)} cell{'s' if len(those) > 1 else ''} cannot be measured here: {reason}")
    for number, job in enumerate(jobs, 1):
        try:
            measured += Runner(plan, say, f"[{number}/{len(jobs)}]").run(job, again)
        except RunFailed as error:
            say(f"[{number}/{len(jobs)}] failed: {error}")
            failures.append(str(error))
            measured += sum(not plan.lacks(cell) for cell in job)
    return Summary(measured, plan.statuses(), failures)


@dataclass(frozen=True)
class Plan:
    """Every cell of some specs on this machine, and the store that may have them."""

    catalog: Catalog
    device: Device
    store: Store
    specs: Sequence[LoadedSpec]
    every: Sequence[Cell]

    def lacks(self, cell: Cell) -> bool:
        """Return whether nobody has measured a cell that can be measured."""
        return self.store.find(cell.identity or {}) is None

    def statuses(self, no_device: str | None = None) -> list[CellStatus]:
        """Return where every cell stands. no_device: why speeds cannot be measured here."""
        return [cell_status(cell, self.store, no_device) for cell in self.every]

    def jobs(self, again: bool = False, only: Collection[str] | None = None) -> list[list[Cell]]:
        """Return what is to be measured in one go each: the speeds of a spec together, everything else alone.

        Of equal cells the first is meant, and of all those with names in `only`. Cheap measures come first, so that an
        interrupted run has most to show.
        """
        first = {cell.run_id: cell for cell in reversed(self.every) if cell.blocked is None}
        missing = [
            cell
            for cell in self.every
            if cell is first.get(cell.run_id) and (again or self.lacks(cell)) and (only is None or cell.name in only)
        ]
        jobs: list[list[Cell]] = []
        for kind in MEASURES.values():
            found = [cell for cell in missing if cell.measure == kind.name]
            by_spec = {
                name: [one for one in found if one.spec == name] for name in dict.fromkeys(c.spec for c in found)
            }
            jobs += by_spec.values() if kind.together else [[cell] for cell in found]
        return jobs

    def reference(self, job: Sequence[Cell]) -> Cell | None:
        """Return the row that a table compares speeds with: it is timed in the same session, stored already or not."""
        if job[0].measure != "throughput":
            return None
        label = next(loaded.spec.compare_with for loaded in self.specs if loaded.id == job[0].spec)
        return next((c for c in self.every if (c.spec, c.measure, c.row) == (job[0].spec, "throughput", label)), None)


def make_plan(
    names: Iterable[str | Path],
    *,
    here: Device | None = None,
    tier: str = "nano",
    device: str = "cpu",
    coco: Path | None = None,
    measures: Collection[str] | None = None,
    store: Store | None = None,
) -> Plan:
    """Return the cells of specs, on a device that is `here`. Raises InputError for bad specs, data or devices."""
    catalog, chosen, specs = open_catalog(tier, coco), here or local_device(device), load_specs(names, tier)
    meant = wanted_measures(measures)
    every = [cell for loaded in specs for cell in cells(loaded, catalog, chosen) if cell.measure in meant]
    return Plan(catalog, chosen, store or Store(), specs, every)


def title(job: Sequence[Cell]) -> str:
    """Return a cell's name or, of several cells, their spec, measure and number."""
    return job[0].name if len(job) == 1 else f"{job[0].spec}: {job[0].measure} of {len(job)} rows"


def go_on(done: int, total: int) -> None:
    """Let nothing stop a measurement."""


@dataclass(frozen=True)
class Runner:
    """Measures one group of a plan's cells and stores their records.

    With `wait_s` it waits no longer than that for other processes, and `tick` may end a measurement by raising.
    """

    plan: Plan
    say: Say
    prefix: str
    wait_s: float | None = None
    tick: Callable[[int, int], None] = go_on
    clock: Callable[[], float] = time.monotonic

    def run(self, job: Sequence[Cell], again: bool = False) -> int:
        """Measure `job`; wait for the cells that another process has taken, and take over those it gave up."""
        store, end = self.plan.store, None if self.wait_s is None else self.clock() + self.wait_s
        left, measured, told = list(job), 0, False
        while True:
            with ExitStack() as leases:
                mine = [cell for cell in left if leases.enter_context(store.lease(cell.run_id or ""))]
                # another process may have stored it between our look and our lease
                todo = [cell for cell in mine if again or self.plan.lacks(cell)]
                if todo:
                    self.measure(todo)
                measured += len(todo)
            left = [cell for cell in left if cell not in mine and (again or self.plan.lacks(cell))]
            if left and not told:
                who, names = store.holder(left[0].run_id or ""), ", ".join(cell.name for cell in left)
                holder = f" ({who})" if who else ""
                self.say(f"{self.prefix} waiting for another process that measures {names}{holder}")
                told = True
            if not left or (end is not None and self.clock() >= end):
                return measured
            time.sleep(POLL_S)

    def measure(self, todo: Sequence[Cell]) -> None:
        """Measure and store. Raises RunFailed where metrics cannot be stored, after all others are."""
        plan, alone = self.plan, todo[0].measure == "throughput"
        self.say(f"{self.prefix} {title(todo)}")
        with plan.store.quiet(alone=alone, within_s=self.wait_s), Reporter(title(todo), 1) as report:
            began = self.clock()

            def progress(done: int, total: int) -> None:
                self.tick(done, total)
                report.progress(done, total)

            unusable = []
            for cell, metrics in measure(todo, plan.reference(todo), plan.catalog, plan.device, progress):
                # what is measured together shares its time
                made = {**self.origin(cell), "seconds": round((self.clock() - began) / len(todo), 3)}
                try:
                    plan.store.save(Record(cell.identity or {}, metrics, cell.spec, cell.row, cell.tier, made))
                except BadMetrics as error:
                    unusable.append(str(error))
        if unusable:
            raise RunFailed("; ".join(unusable))

    def origin(self, cell: Cell) -> dict[str, Any]:
        """Return the record's provenance, with the names behind the hashes."""
        options = cell.options if is_ours(cell.model) else None
        names = {"model": cell.model, "options": options, "dataset": cell.dataset}
        if cell.model.startswith(PEER):
            names["trained_on"] = self.plan.catalog.peer(cell.model).trained_on
        return {**provenance(self.plan.device), **{key: value for key, value in names.items() if value is not None}}


def print_line(text: str) -> None:
    """Print to stderr, so that stdout stays the result's."""
    say(text)
