"""Fetching big files over HTTP: goes on where it broke off, and keeps nothing whose length or checksum is wrong.

A file under its name is whole and checked; what has arrived of it waits beside it as NAME.part.
"""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from pathlib import Path

from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.files import sha256_of
from sharpose.runtime.progress import Heard, unheard

ATTEMPTS = 5
TIMEOUT_S = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """Where a file is, and what it must be: bytes and hex sha256."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Return the file's name, the last part of its address."""
        return self.url.rsplit("/", 1)[-1]


class WrongFile(RunFailed):
    """What the server has is another file; asking again does not help."""


def fetch(file: RemoteFile, folder: Path, progress: Heard = unheard, *, pause_s: float = 2.0) -> Path:
    """Return the file in `folder`, downloaded or gone on with where it is not there yet.

    Connections that break are opened again, up to ATTEMPTS times without a byte more. progress: bytes so far, and in
    all. Raises RunFailed where the server stays away (what arrived is kept) or sends another file (that is removed),
    and InputError for an address that cannot be asked or a disk without room.
    """
    path = folder / file.name
    if path.exists():
        if path.stat().st_size == file.size and sha256_of(path) == file.sha256:
            return path
        raise InputError(f"{path}: is not the file of {file.url}; remove it, or fetch into another folder")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{file.name}.part"
    _check_room(folder, file.size - _length(partial), file.name)
    failures = 0
    while _length(partial) < file.size:
        before = _length(partial)
        try:
            _receive(file, partial, progress)
        except (OSError, HTTPException) as error:
            failures = 1 if _length(partial) > before else failures + 1
            if failures >= ATTEMPTS or _is_final(error):
                raise RunFailed(
                    f"{file.url}: {_reason(error)} after {_length(partial):,} of {file.size:,} bytes; "
                    "the same command goes on from there"
                ) from error
            time.sleep(pause_s)
    _accept(file, partial, path)
    return path


def _receive(file: RemoteFile, partial: Path, progress: Heard) -> None:
    """Append what the server sends to `partial`, or start it anew where the server cannot go on in the middle.

    Raises InputError for an address that is none, WrongFile for a file of another size.
    """
    start = _length(partial)
    try:
        request = urllib.request.Request(file.url, headers={"Range": f"bytes={start}-"} if start else {})
        opened = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except (ValueError, InvalidURL) as error:
        raise InputError(f"{file.url}: is no address that can be asked ({error})") from error
    with opened as response:
        goes_on = (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
        start = start if response.status == 206 and goes_on else 0
        length = response.headers.get("Content-Length") or ""
        if length.isdigit() and start + int(length) != file.size:
            told = f"{start + int(length):,} bytes, {file.size:,} are expected"
            raise WrongFile(f"{file.url}: the server's file has {told}")
        with partial.open("r+b" if start else "wb") as target:
            done = target.seek(start)
            # one byte beyond is enough to see that the file is another
            while block := response.read(min(_CHUNK, file.size - done + 1)):
                done += len(block)
                if done > file.size:
                    raise WrongFile(f"{file.url}: the server sends more than the {file.size:,} bytes that are expected")
                target.write(block)
                progress(done, file.size)
            target.truncate()
    if _length(partial) < file.size:
        raise ConnectionError("the connection broke off")


def _accept(file: RemoteFile, partial: Path, path: Path) -> None:
    """Give what arrived its name. Raises WrongFile, and removes it, where its sha256 is another."""
    with partial.open("rb") as arrived:
        os.fsync(arrived.fileno())
    found = sha256_of(partial)
    if found != file.sha256:
        partial.unlink()
        raise WrongFile(
            f"{file.url}: what arrived has sha256 {found[:12]}…, expected is {file.sha256[:12]}…; "
            "it was removed, so the same command starts anew"
        )
    partial.replace(path)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(folder: Path, needed: int, name: str) -> None:
    """Raise InputError where the disk has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(f"{folder}: {name} needs {needed / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free")


def _is_final(error: Exception) -> bool:
    """Return whether asking again is of no use: the server answered that it has no such file."""
    return isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500 and error.code not in (408, 416, 429)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} ({error.reason})"
    return str(getattr(error, "reason", error)) or error.__class__.__name__
