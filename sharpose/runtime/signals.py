"""Signals that ask a process to stop: heard where work can be left, so that nothing is lost in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

from sharpose.runtime.progress import launched

# Ctrl-C, the end of a job's time, the end of its terminal
STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop; raised where nothing has to be finished before."""


class StopOnSignal:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets `asked`, and a second SIGINT raises KeyboardInterrupt.

    at_once: the first one also raises Stopped where it arrives. One may be entered inside another. A signal that the
    process ignores (nohup) stays ignored; outside the main thread, which alone hears signals, nothing changes.
    """

    innermost: ClassVar[StopOnSignal | None] = None

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.asked: signal.Signals | None = None
        self.interrupts = 0
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is not threading.main_thread():
            return self
        self.outer, StopOnSignal.innermost = StopOnSignal.innermost, self
        if self.outer is not None:
            self.asked, self.interrupts = self.outer.asked, self.outer.interrupts
        for number in STOP:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self.before[number] = signal.signal(number, self.hear)
        return self

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, and raise what it asks for. Raises Stopped, or KeyboardInterrupt where SIGINT comes again."""
        first = self.asked is None
        self.asked = self.asked or signal.Signals(number)
        self.interrupts += number == signal.SIGINT
        if self.aborted:
            raise KeyboardInterrupt
        if first and self.at_once:
            raise Stopped(self.asked.name)

    @property
    def aborted(self) -> bool:
        """Return whether SIGINT came again; torchrun passes on once more what the terminal has sent already."""
        return self.interrupts > (2 if launched() else 1)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self.before.items():
            signal.signal(number, handler)
        StopOnSignal.innermost = self.outer
        if self.outer is not None:
            self.outer.asked, self.outer.interrupts = self.asked, self.interrupts


def stop_where_asked() -> None:
    """Raise Stopped again where it was lost, as what is raised in a finaliser is."""
    stop = StopOnSignal.innermost
    if stop is not None and stop.at_once and stop.asked is not None:
        raise Stopped(stop.asked.name)


def ignore_stop_signals() -> None:
    """Ignore signals at the end of a process, which another one must not turn into another end."""
    for number in STOP:
        signal.signal(number, signal.SIG_IGN)


def block_stop_signals(worker: int = 0) -> None:
    """Let signals to a whole process group pass by a loader's worker: its end is the main process's to say."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)


@contextmanager
def blocked_in_children() -> Iterator[None]:
    """Hold signals back from processes started inside the block; this process hears them after it at the latest."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
