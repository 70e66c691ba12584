"""What pictures are, by their bytes: annotations alone do not determine a score. No torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.files import sha256_of

Stamp = tuple[int, ...]
_known: dict[Path, tuple[Stamp, str]] = {}
"""What this process has read already; nobody can change a file and keep the time of its change."""


def pictures_sha256(paths: Iterable[Path]) -> str:
    """Return one digest of many files: the sha256 of their hex digests, one after the other, in the order given.

    A file is read once per process, and again where it has changed. Raises InputError for one that cannot be read.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return hashlib.sha256("".join(pool.map(picture_sha256, paths)).encode()).hexdigest()


@contextmanager
def unchanged(paths: Sequence[Path]) -> Iterator[str]:
    """Give the digest of files that the block reads. Raises RunFailed at its end where they have changed."""
    before = pictures_sha256(paths)
    yield before
    if pictures_sha256(paths) != before:
        raise RunFailed(f"{paths[0].parent}: pictures changed while this was running; start again")


def picture_sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes. Raises InputError where it cannot be read."""
    try:
        found = path.stat()
        stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = _known.get(path)
        if known is None or known[0] != stamp:
            known = _known[path] = stamp, sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the images folder") from None
    return known[1]
