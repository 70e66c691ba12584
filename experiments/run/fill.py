"""Measure missing cells within a budget of time: what shows most per second first, and nothing that cannot be done."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from experiments.cells.cells import Cell
from experiments.run.durations import Durations
from experiments.run.run import Asked, CellStatus, Plan, Runner, Say, make_plan, print_line, title
from results.leases import Busy
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
        """Raise OutOfTime where the deadline is over, or the pace so slow that it will be."""
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
        return title(self.cells)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
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
    say: Say | None = None,
    clock: Clock = time.monotonic,
    **asked: Unpack[Asked],
) -> Filled:
    """Measure missing cells of the specs until `budget_s` seconds are over or nothing is left that fits.

    The order is that of most cells filled per second. What runs over its time is given up without a trace in the store;
    what fails is reported, and the rest goes on. Raises InputError for bad specs, data or devices before anything.
    """
    began = clock()
    deadline = began + budget_s
    plan = make_plan(names, **asked)
    queue = Queue(plan, plan.jobs())
    filled = Filled()
    while (job := queue.take(deadline - clock())) is not None:
        watch = Watch(clock, clock(), deadline)
        spare = max(0.0, deadline - clock() - job.expected_s)
        worth = f"[{deadline - clock():.0f} s left; fills {job.shows}, should take {job.expected_s:.0f} s]"
        runner = Runner(plan, say or print_line, worth, spare, watch.tick, clock)
        try:
            # a clock of its own runs at its own pace
            with ended_after(deadline - clock()) if clock is time.monotonic else nullcontext():
                filled.measured += runner.run(job.cells)
        except OutOfTime:
            filled.left.append(replace(job, reason="took longer than expected and was given up"))
        except Busy:
            filled.left.append(replace(job, reason=BUSY))
        except (InputError, RunFailed) as error:
            filled.failures.append(replace(job, reason=str(error)))
        else:
            if any(map(plan.lacks, job.cells)):
                filled.left.append(replace(job, reason=BUSY))
    filled.left += [replace(job, reason=f"more than the {max(0.0, deadline - clock()):.0f} s left") for job in queue]
    filled.seconds, filled.statuses = clock() - began, plan.statuses()
    return filled


@dataclass
class Queue:
    """What of a plan is still to be measured."""

    plan: Plan
    jobs: list[list[Cell]]

    def __iter__(self) -> Iterator[Job]:
        """Return what is left, with durations as the store has them by now; what fills most cells per second first."""
        known = Durations(self.plan.store, self.plan.device)
        shown = Counter(cell.run_id for cell in self.plan.every)
        jobs = [
            Job(job, known.expected(job, self.plan.reference(job)), sum(shown[cell.run_id] for cell in job))
            for job in self.jobs
        ]
        return iter(sorted(jobs, key=lambda job: -job.shows / job.expected_s))

    def take(self, remaining: float) -> Job | None:
        """Take the job that fills most cells per second, among those expected to end within `remaining` seconds."""
        best = next((job for job in self if job.expected_s <= remaining), None)
        if best is not None:
            self.jobs.remove(best.cells)
        return best
