"""Reading files that others made, and writing so that a crash leaves the old one or the new one, never half."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharpose.runtime.errors import InputError, first_line

MAX_MANIFEST_BYTES = 2**28
"""What the JSON beside weights has at most."""


def check_regular(path: Path, what: str = "file") -> int:
    """Return the size in bytes. Raises InputError for what is missing, a folder, a pipe or a device.

    Those would be read for ever, or waited for.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    # a name that cannot be one, a loop of links, a folder that may not be looked into
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: is a folder; give {what} in it")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: a pipe or a device, not a file; store it in a file first")
    return found.st_size


def read_text(path: Path, max_bytes: int, what: str = "the file") -> str:
    """Return a UTF-8 file, without a byte-order mark. Raises InputError where it is none, or above `max_bytes`."""
    size = check_regular(path, what)
    if size > max_bytes:
        raise InputError(f"{path}: {size:,} bytes, more than {max_bytes:,}; this is not {what} that is wanted")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def write_atomically(path: Path, write: Callable[[Path], object], *, keep_earlier: bool = False) -> None:
    """Let `write` fill a temporary file beside `path`; it is synced and renamed only when that succeeded.

    keep_earlier: what was at `path` and is not the same gets another name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if keep_earlier and path.is_file() and not filecmp.cmp(path, temporary, shallow=False):
            set_aside(path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Raise InputError unless `folder` is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already there; name a new or empty folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that gets its name when it is complete, or goes.

    Raises InputError where there is something under that name, or nothing can be written there.
    """
    check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        yield made
        made.chmod(0o755)
        made.replace(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def set_aside(path: Path) -> Path:
    """Give a file the next free number before its endings (walk.1.pose.mp4); return its new path."""
    endings = "".join(path.suffixes[-2:])
    number = 1
    while (aside := path.with_name(f"{path.name.removesuffix(endings)}.{number}{endings}")).exists():
        number += 1
    return path.rename(aside)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_manifest(weights: Path) -> dict[str, Any] | None:
    """Return what the JSON beside weights says; None where there is none, or none that can be read."""
    try:
        content = json.loads(read_text(weights.with_suffix(".json"), MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def check_writable(path: Path, option: str) -> None:
    """Raise InputError unless a file can be written at `path`, before hours of work go into its content."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise InputError(f"{option} {path}: is no file; name one")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from None


def why_not_written(error: BaseException) -> str:
    """Return why a write failed, in the system's words where it gave any; libraries hide them in errors of theirs."""
    for each in (error, error.__cause__, error.__context__):
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return first_line(error).rpartition("I/O error: ")[2]


def is_full(error: OSError) -> bool:
    """Return whether a write failed for want of room, which is not the user's mistake."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's bytes. Raises InputError for a folder, a pipe or a device."""
    if path.exists():
        check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class JsonList:
    """A JSON list in a file, a row a line, that is complete JSON after every `extend`.

    So a run that ends early, by a signal or on a full disk, keeps what it had. An earlier file stays until the first
    `extend`; then it gets another name, `earlier`, unless all of it is in this list as well.
    """

    END = b"\n]\n"

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.end = path, 0, 0
        self.file: int | None = None
        self.earlier: Path | None = None

    def extend(self, rows: Iterable[Any]) -> None:
        """Append rows. Raises OSError where they cannot be written; then the file is as it was before."""
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = (",\n" if self.count else "\n") + ",\n".join(lines) if lines else ""
        try:
            if self.file is None:
                self.begin()
            # of a name that is not in UTF-8 the odd bytes become what JSON, too, escapes halves of characters by
            self.end = self.write(text.encode(errors="backslashreplace"), self.end)
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise
        self.count += len(lines)

    def begin(self) -> None:
        """Put an empty list where an earlier file may be."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".keypoints.", suffix=".tmp")
        try:
            os.fchmod(handle, 0o644)
            if os.write(handle, b"[" + self.END) < 1 + len(self.END):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.path.is_file():
                self.earlier = set_aside(self.path)
            os.replace(temporary, self.path)
        except OSError:
            os.close(handle)
            Path(temporary).unlink(missing_ok=True)
            raise
        self.file, self.end = handle, 1

    def write(self, text: bytes, at: int) -> int:
        """Put text and the end of the list at a position; returns where the text ended."""
        assert self.file is not None
        content = text + self.END
        try:
            written = os.pwrite(self.file, content, at)
            if written < len(content):
                # the second part says why there is no room
                written += os.pwrite(self.file, content[written:], at + written)
            if written < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # the end was here before, so there is room for it
            os.pwrite(self.file, self.END, at)
            os.ftruncate(self.file, at + len(self.END))
            raise
        return at + len(text)

    def __enter__(self) -> JsonList:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            os.fsync(self.file)
            os.close(self.file)
            self.file = None
        if self.earlier is not None and self.path.is_file() and self.holds(self.earlier):
            self.earlier.unlink()
            self.earlier = None

    def holds(self, other: Path) -> bool:
        """Return whether this list is another one, or goes on where that ended early."""
        return self.path.read_bytes().startswith(other.read_bytes().removesuffix(self.END))


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each path: its stem, or more where several share that.

    With its folder before it, and a number after it where that is not enough; cut to 120 bytes, so that endings fit
    a file system's limit.
    """
    stems = Counter(path.stem.casefold() for path in paths)
    used, names = set[str](), list[str]()
    for path in paths:
        shared = stems[path.stem.casefold()] > 1 and path.parent.name
        stem = f"{path.parent.name}-{path.stem}" if shared else path.stem
        stem = stem.encode(errors="surrogateescape")[:120].decode(errors="ignore")
        name, number = stem, 2
        while name.casefold() in used:
            name, number = f"{stem}-{number}", number + 1
        used.add(name.casefold())
        names.append(name)
    return names
