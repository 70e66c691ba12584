"""Notes on jobs that a launcher started: which cells, how far, and where the log is. One small file per job."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from results.leases import alive
from results.store import Store
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import write_json

JobState = Literal["submitted", "running", "requeued", "finished", "failed"]


@dataclass(frozen=True)
class JobNote:
    """`cells` are the names of what the job measures; `changed_utc` is when `state` was noted, on `host`."""

    cells: tuple[str, ...]
    launcher: str
    job_id: str
    log: str
    state: JobState
    changed_utc: str = ""
    host: str | None = None
    pid: int | None = None
    message: str | None = None

    @property
    def line(self) -> str:
        """Return the line of `sharpose status`."""
        gone = self.state == "running" and self.host == socket.gethostname() and not alive(self.pid or 0)
        state = "died" if gone else self.state
        why = f" ({self.message})" if self.message else ""
        return f"{self.launcher} job {self.job_id} {state} at {self.changed_utc}{why}; log {self.log}"


def jobs_folder(store: Store) -> Path:
    """Return where a store's jobs have their notes, pickles and logs."""
    return store.local / "jobs"


def write_note(store: Store, note: JobNote) -> None:
    """Put a note on disk, dated now. Raises InputError where that is not possible.

    That a job was submitted is noted only where the job, which may be faster, has noted nothing yet.
    """
    dated = replace(note, changed_utc=datetime.now(UTC).isoformat(timespec="seconds"))
    path = jobs_folder(store) / f"{note.launcher}-{note.job_id}.json"
    try:
        if note.state != "submitted":
            write_json(path, asdict(dated))
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(asdict(dated), indent=1))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); free space or allow writing there") from None


def here(note: JobNote, state: JobState, message: str | None = None) -> JobNote:
    """Return the note on a job in a new state, from the process that runs it."""
    return replace(note, state=state, message=message, host=socket.gethostname(), pid=os.getpid())


def read_note(path: Path) -> JobNote | None:
    """Return a note, or None where there is none that can be read: it is for people, and nothing is measured by it."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return JobNote(**{**content, "cells": tuple(content["cells"])})
    return None


def latest_notes(store: Store) -> dict[str, JobNote]:
    """Return the newest note on every cell that a launched job measures or measured."""
    found = [note for path in jobs_folder(store).glob("*.json") if (note := read_note(path)) is not None]
    return {cell: note for note in sorted(found, key=lambda note: note.changed_utc) for cell in note.cells}
