"""Digests of pictures: of their bytes and order, read once, and again where a file has changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from sharpose.data import pictures
from sharpose.data.pictures import pictures_sha256, unchanged
from sharpose.runtime.errors import InputError, RunFailed


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 100)
    return paths


def test_the_digest_is_of_every_file_in_the_order_given(files: list[Path]) -> None:
    each = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert pictures_sha256(files) == hashlib.sha256("".join(each).encode()).hexdigest()
    assert pictures_sha256(files) != pictures_sha256(files[::-1])


def test_a_file_is_read_once_until_it_changes(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = pictures_sha256(files)
    read: list[Path] = []
    original = pictures.sha256_of
    monkeypatch.setattr(pictures, "sha256_of", lambda path: (read.append(path), original(path))[1])
    assert pictures_sha256(files) == before and not read
    # the same size and the same time of its content, as a copier might restore it
    found = files[1].stat()
    files[1].write_bytes(b"x" * 100)
    os.utime(files[1], ns=(found.st_atime_ns, found.st_mtime_ns))
    assert pictures_sha256(files) != before and read == [files[1]]


def test_what_changes_while_it_is_read_is_no_result(files: list[Path]) -> None:
    with unchanged(files) as digest:
        assert digest == pictures_sha256(files)
    with pytest.raises(RunFailed, match="changed while this was running"), unchanged(files):
        files[0].write_bytes(b"y")


def test_a_missing_file_is_named(files: list[Path]) -> None:
    files[2].unlink()
    with pytest.raises(InputError, match=r"2\.jpg: cannot be read"):
        pictures_sha256(files)
