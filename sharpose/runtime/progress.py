"""Progress on a terminal as a bar, elsewhere as a plain line now and then."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sharpose.runtime.plain_text import one_line, printable

Heard = Callable[[int, int], object]
"""Who is told how much is done, and of how much."""


def unheard(done: int, total: int) -> None:
    """Tell nobody."""


def is_main_process() -> bool:
    """Return whether this process prints: of those that torchrun started, the first alone."""
    return os.environ.get("RANK", "0") == "0"


def launched() -> bool:
    """Return whether this process is one of several that torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def say(text: str) -> None:
    """Print a line to standard error; where nobody can read it any more, as the terminal has gone, it is lost."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            # what is still buffered would fail again at the end of the process
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def note(text: str) -> None:
    """Say on standard error, once for all processes, what a user should know about the input."""
    if is_main_process():
        say(f"note: {one_line(text)}")


class Reporter:
    """`with Reporter("Training", total=100) as report: report.at(10, "loss 0.1")`. Writes to stderr."""

    def __init__(self, title: str, total: int, *, start: int = 0, every_s: float = 20.0) -> None:
        self.title, self.total, self.start, self.every_s = title, max(total, 1), start, every_s
        self.bar: Progress | None = None
        self.began = self.spoke = time.monotonic()

    def __enter__(self) -> Reporter:
        if sys.stderr.isatty() and is_main_process():
            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")
            times = TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")
            self.bar = Progress(*columns, *times, console=Console(stderr=True))
            self.task = self.bar.add_task(self.title, total=self.total, completed=self.start, note="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            # the terminal may have gone
            with contextlib.suppress(OSError):
                self.bar.stop()

    def progress(self, done: int, total: int) -> None:
        """Show `done` of `total`, for callers that know both."""
        self.total = max(total, 1)
        if self.bar is not None:
            self.bar.update(self.task, total=self.total)
        self.at(done)

    def at(self, done: int, note: str = "") -> None:
        """Show `done` of `total` so far."""
        if self.bar is not None:
            with contextlib.suppress(OSError):
                self.bar.update(self.task, completed=done, note=note)
            return
        now = time.monotonic()
        if not is_main_process() or (now - self.spoke < self.every_s and done < self.total):
            return
        self.spoke = now
        left = (now - self.began) / max(done - self.start, 1) * (self.total - done)
        say(f"{self.title}: {done}/{self.total} {note} ({left / 60:.1f} min left)")
