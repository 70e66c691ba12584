"""A few broken files of every kind, with a fixed seed; `make fuzz` tries a hundred thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import cases
from tests.fuzz.targets import Target, attempt, bounds, targets, try_cases, try_many

ROOT = Path(__file__).resolve().parents[2]
TARGETS = targets()


def test_some_hundreds_of_broken_files(tmp_path: Path) -> None:
    """In a process of its own, whose memory is bounded."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.fuzz", "--cases", "300", "--seed", "12345"]
    for target in ("specs", "annotations", "detections", "records"):
        command += ["--target", target]
    done = subprocess.run(
        [*command, "--log", str(tmp_path / "log.jsonl")], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_broken_files_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    outcomes = try_cases(TARGETS[name], tmp_path / "case", 40, 12345)
    many = try_many(TARGETS[name], tmp_path / "case", 12345, 60)
    # commands turn what they refuse into an exit code; a damaged checkpoint is skipped for the one before it
    assert outcomes["refused"] > 0 < many["refused"] or name in ("doctor", "status", "training manifest")


@pytest.mark.slow
def test_hostile_pickles_run_nothing(tmp_path: Path) -> None:
    target = TARGETS["pickled checkpoints"]
    with bounds():
        outcomes = [attempt(target, tmp_path, content) for content in cases.torch_files()]
    # the four sound files, and nothing that calls or points elsewhere
    assert outcomes.count("accepted") == 4
    assert not Path("/tmp/sharpose-escaped").exists()


@pytest.mark.slow
def test_the_net_catches_a_traceback(tmp_path: Path) -> None:
    def careless(path: Path) -> None:
        raise KeyError("x")

    target = Target("a.json", TARGETS["records"].content, TARGETS["records"].edit, careless)
    with pytest.raises(KeyError):
        try_cases(target, tmp_path / "case", 5, 0)
    with pytest.raises(KeyError):
        try_many(target, tmp_path / "case", 0, 5)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_thousand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.fuzz", "--cases", "100000", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
