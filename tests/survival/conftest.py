"""Programs of this folder, each in a process of its own, since what they do to themselves would end the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture
def program() -> Callable[..., str]:
    """Runs a program of tests/survival; returns its standard output and fails with its standard error."""

    def run(name: str, *arguments: object, timeout: float = 600) -> str:
        command = [sys.executable, str(Path(__file__).parent / name), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
