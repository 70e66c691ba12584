"""Who may measure what, and when: locks and leases that end with their process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from results.records import StoreError

LEASE_S = 300.0
# file systems round times
AHEAD_S = 2.0
POLL_S = 0.2


class Busy(StoreError):
    """Another process kept its turn for longer than one wanted to wait."""


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, within_s: float | None = None) -> Iterator[None]:
    """Hold an advisory lock on `path`; it ends with the process, however that ends.

    Raises Busy after `within_s`, if given, and StoreError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); allow writing there") from None
    with file:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if within_s is None:
            fcntl.flock(file, kind)
        else:
            take_turn(file, kind, within_s)
        yield


def take_turn(file: IO[str], kind: int, within_s: float) -> None:
    """Lock `file`, or raise Busy when nobody gave it back within `within_s` seconds."""
    end = time.monotonic() + within_s
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Busy(f"{file.name}: another process is measuring; wait for it, or try again later") from None
            time.sleep(POLL_S)


@contextlib.contextmanager
def renewed(handle: int, every_s: float) -> Iterator[None]:
    """Touch an open lease every `every_s` seconds. One that was taken over is no longer in the folder: no harm then."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(max(every_s, 0.01)):
            # by the clock of the file's machine: those of others may differ
            os.utime(handle)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def file_time(path: Path) -> float:
    """The time by the clock of the machine that keeps the files, which all who share them see alike; touches `path`."""
    os.utime(path)
    return path.stat().st_mtime


def read_lease(path: Path) -> dict[str, Any] | None:
    """Return the owner of a lease and for how long it stands; None where there is none, or no whole one."""
    try:
        lease = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return lease if isinstance(lease, dict) and isinstance(lease.get("seconds"), int | float) else None


def holds(path: Path, now: float) -> bool:
    """Return whether a lease still stands: renewed in time, and its process alive as far as this host can tell.

    One that was renewed in the future, by a clock that was wrong, counts from now on, so that it ends as well.
    """
    lease = read_lease(path)
    if lease is None:
        return False
    seconds = min(LEASE_S, lease["seconds"])
    with contextlib.suppress(FileNotFoundError):
        renewed_at = path.stat().st_mtime
        if renewed_at > now + AHEAD_S:
            os.utime(path)
        if renewed_at + seconds < now:
            return False
    if lease.get("host") != socket.gethostname():
        return True
    pid = lease.get("pid")
    return isinstance(pid, int) and alive(pid) and lease.get("started") == process_start(pid)


def alive(pid: int) -> bool:
    """Return whether a process of this machine is there, one of another user's included."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def process_start(pid: int) -> str | None:
    """When a process started, in the kernel's ticks: tells it from a later one with the same number. None off Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
