"""Measure missing cells within a budget of time: what shows most per second first, and nothing that cannot be done."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.cells.cells import Cell
from experiments.cells.provenance import Device
from experiments.run.durations import Durations
from experiments.run.run import CellStatus, Runner, Say, alongside, cell_status, groups, make_plan, print_line
from experiments.spec.spec import LoadedSpec
from results.leases import Busy
from results.store import Store
from sharpose.runtime.errors import InputError, RunFailed

Clock = Callable[[], float]
# a measurement is given up when at its pace it would take so many times what is left; after this share pace tells more
EARLY, EARLY_LENIENCE, LENIENCE = 0.25, 5.0, 1.25
BUSY = "another process was measuring"


class OutOfTime(Exception):
    """A measurement took longer than the budget allows; nothing of it is stored."""


@dataclass(frozen=True)
class Watch:
    """Ends a measurement that is over its time, or so slow that it will be."""

    clock: Clock
    began: float
    deadline: float

    def tick(self, done: int, total: int) -> None:
        """Raises OutOfTime."""
        now = self.clock()
        left = (now - self.began) / max(done, 1) * (total - done)
        # the first part is slower: modules load, caches fill
        lenience = LENIENCE if done > EARLY * total else EARLY_LENIENCE
        if now + left / lenience > self.deadline:
            raise OutOfTime


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside the block after so many seconds.

    Also where nothing calls `tick`: a model that is built or warmed up. Only the main thread can be told; elsewhere,
    and off Unix, `tick` is all there is.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def over(number: int, frame: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    # someone else's alarm rings when ours is done
    left, _ = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Job:
    """Cells that are measured in one go, and the seconds that should take.

    `shows`: how many cells of tables they fill (a number may stand in several); `reason`: why it was not done.
    """

    cells: list[Cell]
    expected_s: float
    shows: int
    reason: str = ""

    @property
    def name(self) -> str:
        """Return the cell's name or, of several cells, their spec, measure and number."""
        first = self.cells[0]
        return first.name if len(self.cells) == 1 else f"{first.spec}: {first.measure} of {len(self.cells)} rows"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        rows = [{"spec": cell.spec, "row": cell.row, "measure": cell.measure} for cell in self.cells]
        return {"cells": rows, "expected_s": round(self.expected_s, 1), "shows": self.shows, "reason": self.reason}


@dataclass
class Filled:
    """What a fill did."""

    measured: int = 0
    seconds: float = 0.0
    left: list[Job] = field(default_factory=list)
    failures: list[Job] = field(default_factory=list)
    statuses: list[CellStatus] = field(default_factory=list)

    @property
    def blocked(self) -> list[CellStatus]:
        """Return the cells that cannot be measured on this machine."""
        return [status for status in self.statuses if status.state == "blocked"]


def fill(
    names: Iterable[str | Path] = (),
    *,
    budget_s: float,
    tier: str = "nano",
    device: str = "cpu",
    coco: Path | None = None,
    measures: Collection[str] | None = None,
    store: Store | None = None,
    say: Say | None = None,
    clock: Clock = time.monotonic,
) -> Filled:
    """Measure missing cells of the specs until `budget_s` seconds are over or nothing is left that fits.

    The order is that of most cells filled per second. What runs over its time is given up without a trace in the store;
    what fails is reported, and the rest goes on. Raises InputError for bad specs, data or devices before anything.
    """
    began = clock()
    deadline = began + budget_s
    store, say = store or Store(), say or print_line
    plan = make_plan(names, tier=tier, device=device, coco=coco, measures=measures, again=False, store=store)
    queue = Queue(groups(plan.missing), plan.specs, plan.every, store, plan.device)
    filled = Filled()
    while (job := queue.take(deadline - clock())) is not None:
        watch = Watch(clock, clock(), deadline)
        spare = max(0.0, deadline - clock() - job.expected_s)
        worth = f"[{deadline - clock():.0f} s left; fills {job.shows}, should take {job.expected_s:.0f} s]"
        runner = Runner(store, plan.catalog, plan.device, say, worth, spare, watch.tick, clock)
        try:
            # a clock of its own runs at its own pace
            with ended_after(deadline - clock()) if clock is time.monotonic else nullcontext():
                filled.measured += runner.run(job.cells, queue.reference(job.cells), again=False)
        except OutOfTime:
            filled.left.append(replace(job, reason="took longer than expected and was given up"))
        except Busy:
            filled.left.append(replace(job, reason=BUSY))
        except (InputError, RunFailed) as error:
            filled.failures.append(replace(job, reason=str(error)))
        else:
            if any(store.find(cell.identity or {}) is None for cell in job.cells):
                filled.left.append(replace(job, reason=BUSY))
    filled.left += [replace(job, reason=f"more than the {max(0.0, deadline - clock()):.0f} s left") for job in queue]
    filled.seconds = clock() - began
    filled.statuses = [cell_status(cell, store) for cell in plan.every]
    return filled


@dataclass
class Queue:
    """What is still to be measured."""

    groups: list[list[Cell]]
    specs: Sequence[LoadedSpec]
    every: Sequence[Cell]
    store: Store
    device: Device

    def __iter__(self) -> Iterator[Job]:
        """What is left, with the durations that the store teaches by now; what fills most cells per second first."""
        known, shown = Durations(self.store, self.device), Counter(cell.run_id for cell in self.every)
        jobs = [
            Job(group, known.expected(group, self.reference(group)), sum(shown[cell.run_id] for cell in group))
            for group in self.groups
        ]
        return iter(sorted(jobs, key=lambda job: -job.shows / job.expected_s))

    def take(self, remaining: float) -> Job | None:
        """The job that fills most cells per second, among those expected to end within `remaining` seconds."""
        best = next((job for job in self if job.expected_s <= remaining), None)
        if best is not None:
            self.groups.remove(best.cells)
        return best

    def reference(self, group: list[Cell]) -> Cell | None:
        """Return the row that a group's speeds are compared with, timed beside them; None for other measures."""
        return alongside(group, self.specs, self.every)
