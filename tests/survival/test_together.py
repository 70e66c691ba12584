"""Two processes learn what one learns, look at every person once, and go on when one of them is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sharpose.data.mannequin import annotations_path, images_path
from sharpose.data.mannequin.generate import generate
from sharpose.training.checkpoints import latest_checkpoint
from tests.survival.conftest import ENVIRONMENT, ROOT

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def torchrun(folder: Path, people: Path, *arguments: str, restarts: int = 0) -> list[dict[str, Any]]:
    folder.mkdir()
    command = [sys.executable, *TORCHRUN, "--max-restarts", str(restarts), str(Path(__file__).parent / "together.py")]
    command += ["--out", str(folder), "--people", str(people), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together") / "people"


@pytest.fixture(scope="module")
def alone(people: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    command = [
        sys.executable,
        str(Path(__file__).parent / "together.py"),
        "--out",
        str(folder),
        "--people",
        str(people),
    ]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, timeout=600, check=True)
    return json.loads((folder / "0.json").read_text())


def check(alone: dict[str, Any], together: list[dict[str, Any]]) -> None:
    first, second = together
    assert (alone["world"], first["world"], second["world"]) == (1, 2, 2)
    # a half each, together everyone
    assert first["mine"] + second["mine"] == alone["mine"] == first["summary"]["people"]
    assert abs(first["mine"] - second["mine"]) <= 1
    # both merged the same predictions
    assert first["results"] == second["results"] and len(first["results"]) == len(alone["results"])
    assert [row["step"] for row in first["log"]] == [row["step"] for row in alone["log"]] == list(range(12))
    for ours, theirs in zip(first["log"], alone["log"], strict=True):
        assert set(ours) == set(theirs) and {"coarse", "lr"} <= set(ours)
        for name in set(ours) - {"images_per_s"}:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-3), (ours["step"], name)


def test_two_processes_train_and_evaluate_as_one(alone: dict[str, Any], people: Path, tmp_path: Path) -> None:
    check(alone, torchrun(tmp_path / "two", people))


@pytest.mark.slow
def test_a_killed_worker_is_started_again(alone: dict[str, Any], people: Path, tmp_path: Path) -> None:
    together = torchrun(tmp_path / "killed", people, "--die-at", "7", restarts=1)
    assert [found["attempt"] for found in together] == ["1", "1"]
    check(alone, together)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_a_signal_to_all_processes_leaves_a_checkpoint(people: Path, tmp_path: Path, number: int) -> None:
    """torchrun itself passes on what everybody has heard already; that is no second Ctrl-C."""
    if not people.exists():
        generate(people, split="train", images=12, seed=5, workers=1)
    words = ["train", "--model", "sharpose-nano-128x96", "--data", str(annotations_path(people, "train"))]
    words += ["--images", str(images_path(people, "train")), "--out", str(tmp_path / "run"), "--workers", "1"]
    words += ["--set", "model_options={embed_dim: 24, num_heads: 4, depth: 3}", "--set", "batch_size=4"]
    program = [str(Path(__file__).parent / "signalled.py"), str(tmp_path)]
    command = [sys.executable, *TORCHRUN, *program, *words, "--set", "epochs=100"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=file, start_new_session=True)
    try:
        steps, end = tmp_path / "0.steps", time.monotonic() + 600
        while not (steps.exists() and steps.read_text() not in ("", "0")):
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.05)
        os.killpg(process.pid, number)
        process.wait(600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert [(tmp_path / f"{rank}.code").read_text() for rank in (0, 1)] == ["75", "75"], log.read_text()[-3000:]
    newest = latest_checkpoint(tmp_path / "run", pytest.fail)
    assert newest is not None and f"stopped by a signal at step {int(newest.name[5:])};" in log.read_text()
