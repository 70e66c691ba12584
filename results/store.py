"""The results store: one JSON file per measurement, named after what determines its number.

`published/` is committed; `local/` holds what this machine measured and is git-ignored. A file is complete or absent:
it is written to a temporary name, synced, and renamed. Its last line is the sha256 of everything above it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent
FORMAT = 1
SEAL = b',\n "sha256": "'
SEALED_TAIL = re.compile(rb'[0-9a-f]{64}"\n}\n')
RUN_ID_LENGTH = 16
LEASE_S = 300.0
# file systems round times
AHEAD_S = 2.0

POLL_S = 0.2
SHARES = re.compile(
    r"(ap|ar)(50|75)?(_[ml])?|pck|pckh(01)?(_[a-z]+)*|(ap|pck)_(low|high|bootstrap)|refine_rate|boxes_ap"
)
"""Metrics that are fractions, from 0 to 1."""
AMOUNTS = re.compile(
    r"(\w+_)?people|images|images_(with_boxes|per_\w+)|params|macs\w*|latency_ms_\w+|\w+_per_(s|image)|samples\w*_ms"
)
"""Metrics that count or measure something, which are never below 0."""


class StoreError(ValueError):
    """A record or the store folder is unusable; the message is one line that names the file and what to do."""


class BadMetrics(StoreError):
    """What was measured is no number that a record can hold; nothing of it is stored."""


class Busy(StoreError):
    """Another process kept its turn for longer than one wanted to wait."""


@dataclass(frozen=True)
class Record:
    """One measurement, under the id that its identity hashes to.

    `identity` is all that determines the number and hashes to `run_id`; `spec` and `row` say who asked for it first;
    `provenance` says how, when and where it was made.
    """

    identity: dict[str, Any]
    metrics: dict[str, Any]
    spec: str
    row: str
    tier: str
    provenance: dict[str, Any] = field(default_factory=dict)
    published: bool = False

    @property
    def run_id(self) -> str:
        """Return the hash of the identity, which names the record's file."""
        return run_id(self.identity)

    @property
    def measure(self) -> str:
        """Return what was measured, a part of the identity."""
        return self.identity["measure"]


def run_id(identity: Mapping[str, Any]) -> str:
    """16 hex digits of the sha256 of the canonical JSON of `identity`, which must name its `measure` and `version`.

    Key order does not matter, and neither does 1 against 1.0 or a tuple against a list. Raises StoreError where it does
    not name these.
    """
    for key in ("measure", "version"):
        if key not in identity:
            raise StoreError(f"an identity without {key!r} cannot name a record")
    text = json.dumps(canonical(identity), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:RUN_ID_LENGTH]


def canonical(value: Any) -> Any:
    """`value` with one spelling per meaning: lists for tuples, whole floats as integers. TypeError for other types."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("an identity has text keys only")
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be part of an identity")


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
        """Whether this process alone may measure `run_id` now; renewed for as long as the block lasts.

        Leases that expired (their process hangs, or its machine is gone), or whose process died, are void.
        """
        path = self.local / "leases" / f"{checked_id(run_id)}.lease"
        handle = self.take_lease(path, seconds)
        if handle is None:
            yield False
            return
        try:
            with renewed(handle, seconds / 3):
                yield True
        finally:
            self.drop_lease(path, handle)

    def take_lease(self, path: Path, seconds: float) -> int | None:
        """The open lease file, whose time of change is when it was last renewed; None when another holds it."""
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}
        lock = self.local / "leases" / ".lock"
        with locked(lock):
            if holds(path, file_time(lock)):
                return None
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(handle, json.dumps({**owner, "seconds": seconds}).encode())
        return handle

    def holder(self, run_id: str) -> str:
        """Who has the lease of `run_id`, and in which file, for people; empty where nobody has."""
        path = self.local / "leases" / f"{checked_id(run_id)}.lease"
        lease = read_lease(path)
        return "" if lease is None else f"process {lease.get('pid')} on {lease.get('host')}, {path}"

    def drop_lease(self, path: Path, handle: int) -> None:
        """Give a lease back, unless it expired and someone else took it over."""
        with locked(self.local / "leases" / ".lock"), contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                path.unlink()
        os.close(handle)

    def quiet(self, *, alone: bool, within_s: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Wait for a turn on this machine: timings run `alone`, anything else may share it.

        Raises Busy after `within_s`.
        """
        # machines that share the folder do not disturb each other
        lock = self.local / f"machine-{socket.gethostname()}.lock"
        return locked(lock, shared=not alone, within_s=within_s)


def encode(record: Record) -> bytes:
    """The file of a record: one line per field, so that differences read well, and a seal at the end."""
    fields = {
        "format": FORMAT,
        "run_id": record.run_id,
        "measure": record.measure,
        "spec": record.spec,
        "row": record.row,
        "tier": record.tier,
        "identity": canonical(record.identity),
        "metrics": record.metrics,
        "provenance": record.provenance,
    }
    body = "{\n" + ",\n".join(f" {json.dumps(key)}: {block(value)}" for key, value in fields.items())
    sealed = body.encode()
    return sealed + SEAL + hashlib.sha256(sealed).hexdigest().encode() + b'"\n}\n'


def block(value: Any) -> str:
    """Return JSON with one line per entry of an object, so that git shows and merges changes line by line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, allow_nan=False)
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in value.items()) + "\n }"


def read(path: Path, *, published: bool = False) -> Record:
    """Return the record in `path`.

    Raises FileNotFoundError when it is absent, StoreError when it is not exactly what was written.
    """
    way_out = "git checkout it" if published else "delete it to measure again"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); {way_out}") from None
    if (newer := format_of(raw)) > FORMAT:
        raise StoreError(f"{path}: a newer version wrote this record (format {newer}); update this checkout")
    body, _, tail = raw.rpartition(SEAL)
    if not SEALED_TAIL.fullmatch(tail) or hashlib.sha256(body).hexdigest().encode() != tail[:64]:
        raise StoreError(f"{path}: this record is truncated or was changed after it was written; {way_out}")
    try:
        fields = json.loads(raw, parse_constant=refuse_constant)
        named = {key: fields[key] for key in ("identity", "metrics", "spec", "row", "tier", "provenance")}
        record = Record(**named, published=published)
        if not all(isinstance(named[key], kind) for key, kind in KINDS.items()):
            raise TypeError
        matches = fields["format"] == FORMAT and path.stem == record.run_id and path.parent.name == record.measure
    except (KeyError, TypeError, ValueError, RecursionError):
        raise StoreError(f"{path}: this is not a record of this store; {way_out}") from None
    if not matches:
        raise StoreError(f"{path}: this record's content belongs under another name or format; {way_out}")
    if (fault := fault_of(record.metrics)) is not None:
        raise StoreError(f"{path}: {record.spec} {record.row}: {fault}; {way_out}")
    return record


KINDS = {"metrics": dict, "spec": str, "row": str, "tier": str, "provenance": dict}


def format_of(raw: bytes) -> int:
    """The format that a record says it has, sealed as we do it or not; 0 where it is no JSON or says none."""
    said = re.search(rb'"format": ?(\d{1,9})\b', raw[:1000])
    if said is None or int(said[1]) <= FORMAT:
        return 0
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return 0
    found = fields.get("format") if isinstance(fields, dict) else None
    return found if isinstance(found, int) else 0


def refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which JSON does not have and Python would read."""
    raise ValueError(f"{name} is no number")


def fault_of(metrics: Mapping[str, Any]) -> str | None:
    """The first metric that is no finite number, or of another type or range than its name means; None: all are."""
    for name, value in metrics.items():
        if not finite(value):
            return f"{name} is no finite number"
        values = value if isinstance(value, list) else [value]
        if SHARES.fullmatch(name) and not all(map(is_share, values)):
            return f"{name} = {str(value)[:60]} must be a number from 0 to 1"
        if AMOUNTS.fullmatch(name) and not all(map(is_amount, values)):
            return f"{name} = {str(value)[:60]} must be a number that is not below 0"
    return None


def finite(value: Any) -> bool:
    """Whether JSON has a number for every number in `value`."""
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def is_amount(value: Any) -> bool:
    """Whether `value` is a number from 0 on, or None for what could not be measured."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)


def is_share(value: Any) -> bool:
    """Return whether a value is a number from 0 to 1, or None."""
    return is_amount(value) and (value is None or value <= 1)


def write(path: Path, content: bytes) -> Path:
    """Put `content` at `path` as a whole or not at all, also across a power cut.

    Raises StoreError where that is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free space or allow writing there") from None
    return path


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk, so that a renamed file survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    """The owner of a lease and for how long it stands; None where there is none, or no whole one."""
    try:
        lease = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return lease if isinstance(lease, dict) and isinstance(lease.get("seconds"), int | float) else None


def holds(path: Path, now: float) -> bool:
    """Whether a lease still stands: renewed in time, and its process alive as far as this host can tell.

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


def checked_id(name: str) -> str:
    """Return `name` when it can be a record's name. Raises StoreError otherwise, so that no path leaves the store."""
    if not re.fullmatch(rf"[0-9a-f]{{{RUN_ID_LENGTH}}}", name):
        raise StoreError(
            f"{name!r} is not a run id ({RUN_ID_LENGTH} hex digits); `sharpose status --all --json` lists them"
        )
    return name
