"""Batches from a loader whose workers may be killed, and which signals to a whole process group must not end."""

from __future__ import annotations

import os
import signal
import weakref
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

import torch
from torch.utils.data import DataLoader

from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.signals import blocked_in_children, stop_where_asked

LIKELY = {
    signal.SIGKILL: "most often because memory ran out: take fewer --workers, or leave out --preload",
    signal.SIGBUS: "most often because /dev/shm is full: take fewer --workers",
}
"""What a signal that ended a worker usually means, and the way out."""


class WorkerDied(RunFailed):
    """A loader's worker ended before its work was done, as where the kernel killed it."""


def sample_batches(loader: DataLoader[Any]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the loader's batches.

    Raises WorkerDied where a worker was killed, always between two batches, and an InputError of a worker with its one
    line instead of the worker's traceback.
    """
    iterator, workers = started(loader)
    try:
        for batch in iterator:
            stop_where_asked()
            yield batch
    except InputError as error:
        # the last line of a worker's traceback, without the name of the class
        line = str(error).strip().splitlines()[-1]
        raise InputError(line.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")) from None
    except (RuntimeError, EOFError, ConnectionError, FileNotFoundError) as error:
        if not isinstance(error, RuntimeError):
            # what a killed worker had sent cannot be fetched any more, a moment before it is known to be gone
            gone = wait([worker.sentinel for worker in workers], 5.0)
            # whose files are closed may not have ended yet
            for worker in workers:
                if worker.sentinel in gone:
                    worker.join()
        died = [worker for worker in workers if worker.exitcode]
        if not died:
            raise
        raise WorkerDied(f"{'; '.join(map(why_died, died))}; run the same command again to go on") from error


def started(loader: DataLoader[Any]) -> tuple[Iterator[Any], list[Any]]:
    """Return the loader's iterator and its worker processes, which hear no signal that asks to stop."""
    handler = signal.getsignal(signal.SIGCHLD)
    with blocked_in_children():
        iterator = iter(loader)
    if signal.getsignal(signal.SIGCHLD) != handler:
        # torch would raise in the middle of a step as soon as a worker dies; waiting for its batch notices it as well
        signal.signal(signal.SIGCHLD, handler)
    workers = getattr(iterator, "_workers", [])
    # one that hangs in reading would outlive SIGTERM, and hold up the end of this process
    weakref.finalize(iterator, end, workers, os.getpid())
    return iterator, workers


def end(workers: Iterable[Any], parent: int) -> None:
    """Kill the workers that still run, if this process is their parent."""
    # a forked child inherits what it may not end
    for worker in workers if os.getpid() == parent else ():
        if worker.is_alive():
            worker.kill()


def why_died(worker: Any) -> str:
    """Return what ended a worker, and what usually stands behind it."""
    if worker.exitcode > 0:
        return f"loader worker {worker.pid} ended with exit code {worker.exitcode}"
    number = signal.Signals(-worker.exitcode)
    likely = f", {LIKELY[number]}" if number in LIKELY else ""
    return f"loader worker {worker.pid} was killed by {number.name}{likely}"
