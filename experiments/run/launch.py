"""Missing cells as jobs: on this machine or through SLURM, by submitit. One job per cell, or per group timed together.

A job that is preempted is queued again and measures what the store still lacks. Jobs need no talk with each other: the
store's leases keep two of them off one cell, and a job that finds its cells stored ends at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from experiments.cells.provenance import REPOSITORY
from experiments.run.jobs import JobNote, here, jobs_folder, write_note
from experiments.run.run import Asked, Summary, make_plan, print_line, run_specs
from results.store import Store
from sharpose.runtime.errors import InputError, RunFailed

LAUNCHERS = ("local", "slurm")
POLL_S = 0.5
# how often a preempted job is queued again
REQUEUES = 10


@dataclass(frozen=True)
class Job:
    """What one job runs; pickled by submitit. `device` is that of the machine it comes to."""

    specs: tuple[str, ...]
    cells: tuple[str, ...]
    tier: str
    device: str
    coco: Path | None
    again: bool
    results: Path
    launcher: str

    def __call__(self) -> int:
        """Measure the cells; how many were. Raises RunFailed where one failed."""
        store, note = Store(self.results), self.note()
        write_note(store, here(note, "running"))
        try:
            summary = run_specs(
                self.specs,
                tier=self.tier,
                device=self.device,
                coco=self.coco,
                only=self.cells,
                again=self.again,
                store=store,
            )
            if summary.failures:
                raise RunFailed("; ".join(summary.failures))
        except Exception as error:
            first = (str(error).splitlines() or [""])[0][:200]
            write_note(store, here(note, "failed", f"{type(error).__name__}: {first}"))
            raise
        write_note(store, here(note, "finished"))
        return summary.measured

    def checkpoint(self) -> Any:
        """Return what to queue when this job is preempted: the same, since the store knows what is done."""
        import submitit

        write_note(Store(self.results), here(self.note(), "requeued"))
        return submitit.helpers.DelayedSubmission(self)

    def note(self) -> JobNote:
        """Return the note on this job, in the process that runs it."""
        import submitit

        environment = submitit.JobEnvironment()
        return JobNote(self.cells, self.launcher, environment.job_id, str(environment.paths.stderr), "running")


def launch(
    names: Iterable[str | Path] = (),
    *,
    launcher: str,
    again: bool = False,
    at_once: int = 4,
    options: Mapping[str, Any] | None = None,
    **asked: Unpack[Asked],
) -> Summary:
    """Start a job per missing cell or group, at most `at_once` running, and wait for all of them.

    `options` go to SLURM (`partition`, `time`, `gpus_per_node` …). Raises InputError before anything is submitted.
    """
    paths = tuple(str(Path(name).resolve() if Path(name).exists() else name) for name in names)
    plan = make_plan(paths, **asked)
    store, coco = plan.store, plan.catalog.places.coco
    executor = make_executor(launcher, store, at_once, options or {})
    same: dict[str, Any] = {"tier": plan.catalog.name, "device": plan.device.kind, "again": again}
    same |= {"coco": coco and coco.resolve(), "results": store.local.parent.resolve(), "launcher": launcher}
    jobs = [Job(paths, tuple(cell.name for cell in group), **same) for group in plan.jobs(again)]
    measured = sum(run_all(executor, jobs, store, at_once if launcher == "local" else len(jobs)))
    return Summary(measured, plan.statuses())


def make_executor(launcher: str, store: Store, at_once: int, options: Mapping[str, Any]) -> Any:
    """Return submitit's executor.

    Raises InputError for an unknown launcher or option, or where submitit or SLURM is not.
    """
    if launcher not in LAUNCHERS:
        raise InputError(f"--launcher {launcher!r} does not work: it must be one of {', '.join(LAUNCHERS)}")
    if launcher == "local" and options:
        raise InputError("--slurm options need --launcher slurm")
    try:
        import submitit
    except ModuleNotFoundError:
        raise InputError("--launcher needs submitit; pip install -e '.[slurm]'") from None
    try:
        executor = submitit.AutoExecutor(jobs_folder(store) / "%j", cluster=launcher)
        executor.update_parameters(name="sharpose", timeout_min=24 * 60)
        if launcher == "slurm":
            named = {f"slurm_{name}": value for name, value in options.items()}
            executor.update_parameters(slurm_array_parallelism=at_once, **named)
    except (NameError, RuntimeError, ValueError, AssertionError, TypeError, OSError) as error:
        raise InputError(f"--launcher {launcher}: {' '.join(str(error).split())}") from None
    return executor


def run_all(executor: Any, jobs: Sequence[Job], store: Store, at_once: int) -> Iterator[int]:
    """Submit, wait, queue preempted local jobs again; yields how many cells each job measured.

    Raises RunFailed at the end where some failed.
    """
    waiting, requeues = list(jobs), dict.fromkeys(jobs, 0)
    running: list[tuple[Job, Any]] = []
    failures: list[str] = []
    while waiting or running:
        room = at_once - len(running)
        if waiting and room > 0:
            running += submit(executor, waiting[:room], store)
            waiting = waiting[room:]
        for job, handle in list(running):
            if not handle.done():
                continue
            running.remove((job, handle))
            preempted = not handle.paths.result_pickle.exists()
            if preempted and requeues[job] < REQUEUES:
                requeues[job] += 1
                waiting.append(job)
            elif preempted or handle.exception() is not None:
                failures.append(f"{', '.join(job.cells)}: see {handle.paths.stderr}")
            else:
                yield handle.result()
        time.sleep(POLL_S if running else 0)
    if failures:
        raise RunFailed(
            f"{len(failures)} of {len(jobs)} jobs failed; what the others measured is stored: {failures[0]}"
        )


def submit(executor: Any, jobs: Sequence[Job], store: Store) -> list[tuple[Job, Any]]:
    """Hand jobs over, as one array where there is a queue, and note them."""
    with findable_repository(), executor.batch():
        handles = [executor.submit(job) for job in jobs]
    for job, handle in zip(jobs, handles, strict=True):
        log = str(handle.paths.stderr)
        note = JobNote(job.cells, job.launcher, handle.job_id, log, "submitted")
        write_note(store, note)
        print_line(f"{job.launcher} job {handle.job_id}: {', '.join(job.cells)}; log {log}")
    return list(zip(jobs, handles, strict=True))


@contextmanager
def findable_repository() -> Iterator[None]:
    """Let the processes of jobs, which inherit the environment, import the harness folders."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
