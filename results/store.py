"""The results store: one JSON file per measurement, named after what determines its number.

`published/` is committed; `local/` holds what this machine measured and is git-ignored. A file is complete or absent:
it is written to a temporary name, synced, and renamed. Its last line is the sha256 of everything above it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from results.leases import LEASE_S, file_time, holds, locked, process_start, read_lease, renewed
from results.records import BadMetrics, Record, StoreError, checked_id, encode, fault_of, read, run_id
from sharpose.runtime.files import sync_folder, write_atomically

ROOT = Path(__file__).resolve().parent


class Store:
    """Records under `root`/published and `root`/local, in one folder per measure.

    `published_only`: local records are not read, as for what everyone must see alike.
    """

    def __init__(self, root: Path = ROOT, *, published_only: bool = False) -> None:
        self.published = Path(root) / "published"
        self.local = Path(root) / "local"
        self.read_from = (self.published,) if published_only else (self.local, self.published)

    def find(self, identity: Mapping[str, Any]) -> Record | None:
        """The record of `identity`, this machine's own before the published one; None when nobody measured it."""
        name = Path(identity["measure"]) / f"{run_id(identity)}.json"
        for folder in self.read_from:
            try:
                return read(folder / name, published=folder is self.published)
            except FileNotFoundError:
                continue
        return None

    def records(self, measure: str = "*") -> list[Record]:
        """Return every record of a measure, or of all; a local one hides the published.

        Raises StoreError, naming the file, where one is unusable.
        """
        found: dict[str, Record] = {}
        for folder in reversed(self.read_from):
            for path in sorted(folder.glob(f"{measure}/*.json")):
                # another process may have deleted it since the listing
                with contextlib.suppress(FileNotFoundError):
                    found[path.stem] = read(path, published=folder is self.published)
        return list(found.values())

    def save(self, record: Record) -> Path:
        """Write `record` to the local folder, replacing an older one, and return its path.

        Raises BadMetrics where a metric is no finite number, or of another type or range than its name means.
        """
        if (fault := fault_of(record.metrics)) is not None:
            raise BadMetrics(f"{record.spec} {record.row}: {record.measure}: {fault}; nothing is stored")
        return write(self.local / record.measure / f"{record.run_id}.json", encode(record))

    def publish(self, run_id: str) -> Path:
        """Copy a local record to the published folder, checked first. Raises StoreError when there is none."""
        paths = list(self.local.glob(f"*/{checked_id(run_id)}.json"))
        if not paths:
            raise StoreError(
                f"{self.local}: no record {run_id} to publish; `sharpose status --all` lists what is stored"
            )
        read(paths[0], published=False)
        return write(self.published / paths[0].relative_to(self.local), paths[0].read_bytes())

    @contextlib.contextmanager
    def lease(self, run_id: str, seconds: float = LEASE_S) -> Iterator[bool]:
        """Yield whether this process alone may measure `run_id` now; renewed for as long as the block lasts.

        Leases that expired (their process hangs, or its machine is gone), or whose process died, are void.
        """
        path, lock = self.lease_file(run_id), self.local / "leases" / ".lock"
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}
        with locked(lock):
            taken = holds(path, file_time(lock))
            if not taken:
                path.unlink(missing_ok=True)
                # its time of change is when it was last renewed
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                os.write(handle, json.dumps({**owner, "seconds": seconds}).encode())
        if taken:
            yield False
            return
        try:
            with renewed(handle, seconds / 3):
                yield True
        finally:
            # unless it expired and someone else took it over
            with locked(lock), contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    path.unlink()
            os.close(handle)

    def lease_file(self, run_id: str) -> Path:
        """Return where the lease of a record lies while somebody measures it."""
        return self.local / "leases" / f"{checked_id(run_id)}.lease"

    def holder(self, run_id: str) -> str:
        """Return who has the lease of `run_id`, and in which file, for people; empty where nobody has."""
        path = self.lease_file(run_id)
        lease = read_lease(path)
        return "" if lease is None else f"process {lease.get('pid')} on {lease.get('host')}, {path}"

    def quiet(self, *, alone: bool, within_s: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Wait for a turn on this machine: timings run `alone`, anything else may share it.

        Raises Busy after `within_s`.
        """
        # machines that share the folder do not disturb each other
        lock = self.local / f"machine-{socket.gethostname()}.lock"
        return locked(lock, shared=not alone, within_s=within_s)


def write(path: Path, content: bytes) -> Path:
    """Put `content` at `path` as a whole or not at all, also across a power cut.

    Raises StoreError where that is not possible.
    """
    try:
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free space or allow writing there") from None
    return path
