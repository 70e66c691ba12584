"""A training that is killed at random moments ends with the weights of one that is not, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

WRITING = {"save_file", "save", "write_json", "sha256_of", "fsync", "replace", "sync_folder", "prune", "rmtree"}


def test_a_few_kills(program: Callable[..., str], tmp_path: Path) -> None:
    found = json.loads(program("kills.py", "--kills", 5, "--seed", 1, "--out", tmp_path))
    assert found["kills"] == 5 and found["killed"] == found["whole"]
    assert WRITING & set(found["during"])


@pytest.mark.slow
def test_many_kills(program: Callable[..., str], tmp_path: Path) -> None:
    found = json.loads(program("kills.py", "--kills", 24, "--seed", 2, "--out", tmp_path, timeout=900))
    assert found["kills"] == 24 and found["killed"] == found["whole"]
    assert len(WRITING & set(found["during"])) >= 3
