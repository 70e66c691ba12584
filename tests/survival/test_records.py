"""Many processes use one store at once, some are killed: nothing is lost, torn, or measured twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.survival.conftest import ENVIRONMENT, ROOT

SPEC = """\
title: "A small table"
base: {model: sharpose-nano-128x96, model.quality_threshold: null, dataset: coco-val}
measure: [cost]
columns: [params, gflops]
rows:
  - {label: "0.0", set: {model.alpha: 0.0}}
  - {label: "0.3", set: {model.alpha: 0.3}}
  - {label: "0.5", set: {model.alpha: 0.5}}
  - {label: "1.0", set: {model.alpha: 1.0}}
"""


def test_a_store_under_load(program: Callable[..., str], tmp_path: Path) -> None:
    found = json.loads(program("records.py", "--out", tmp_path, "--records", 400, "--kill-every-s", 0.1))
    assert (found["written"], found["lost"], found["torn"]) == (400, 0, 0)
    assert found["kills"] > 0 and found["deleted"] > 0 and found["read"] > 0


@pytest.mark.slow
def test_ten_thousand_records(program: Callable[..., str], tmp_path: Path) -> None:
    found = json.loads(
        program("records.py", "--out", tmp_path, "--records", 10_000, "--kill-every-s", 0.1, timeout=1800)
    )
    assert (found["written"], found["lost"], found["torn"]) == (10_000, 0, 0)
    # 24 at most; a fast machine has written everything before
    assert found["kills"] >= 12 and found["deleted"] > 2_000 and found["read"] > 10_000


def test_two_runs_at_once_measure_each_cell_once_and_print_the_same_table(tmp_path: Path) -> None:
    spec, journal = tmp_path / "small.yaml", tmp_path / "journal"
    spec.write_text(SPEC)
    command = [
        sys.executable,
        str(Path(__file__).parent / "two_runs.py"),
        str(tmp_path / "store"),
        str(journal),
        str(spec),
    ]
    runs = [
        subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [run.communicate(timeout=600) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers
    assert sorted(journal.read_text().splitlines()) == [
        f"small {label}: cost" for label in ("0.0", "0.3", "0.5", "1.0")
    ]
    first, second = (out for out, _ in answers)
    assert first == second
    for label in ("0.0", "0.3", "0.5", "1.0"):
        row = next(line for line in first.splitlines() if line.strip().startswith(label))
        # 0.88 million parameters, and a number of multiply-adds
        assert "0.88" in row or "0.9" in row, first
