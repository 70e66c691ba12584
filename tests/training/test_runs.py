"""The list of trainings: what each folder says of itself, and curves as text."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sharpose.data.coco import CocoTopDown
from sharpose.runtime.curves import plot, spaced, sparkline
from sharpose.runtime.plain_text import spelling
from sharpose.training.engine import Run, train
from sharpose.training.recipe import Recipe
from sharpose.training.runs import table_lines, training_in, trainings
from sharpose.weights.files import save_weights
from tests.command_line import call

RECIPE = Recipe(
    epochs=2, batch_size=8, warmup_iterations=2, milestones=(), sigma=1.5,
    model_options={"embed_dim": 24, "num_heads": 4, "depth": 3},
)  # fmt: skip
HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "a")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def run(people: CocoTopDown, tmp_path: Path) -> Run:
    judge = lambda model: {"mine_ap": 0.25, "mine_pck": None}  # noqa: E731
    return Run("sharpose-nano-128x96", RECIPE, people, tmp_path / "runs" / "first", validation=judge, points=2)


def test_a_stopped_and_then_a_done_training(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    train(replace(run, max_steps=4))
    stopped = training_in(run.folder)
    assert (stopped.state, stopped.model, stopped.step, stopped.stop) == ("stopped", run.model_name, 4, 4)
    assert stopped.figures == {"mine AP": [(24, 25.0)]} and len(stopped.losses) == len(stopped.log) > 0
    model, state = train(run)
    facts = {"model": run.model_name, "steps": state.step, "log": state.log, "curve": state.curve}
    save_weights(model, run.folder / "a.safetensors", facts)
    # of another training, and of none
    save_weights(model, run.folder / "b.safetensors", {"model": "other"})
    (done,) = trainings(run.folder.parent)
    assert (done.state, done.step, done.stop) == ("done", 6, 6)
    assert done.figures == {"mine AP": [(24, 25.0), (48, 25.0)]}
    parts = {name: value for name, value in state.log[-1].items() if name not in ("step", "lr", "images_per_s")}
    assert done.losses[-1] == (5, pytest.approx(sum(parts.values())))
    code, out, err = call(capsys, "runs", str(run.folder.parent), "--json")
    assert code == 0, err
    assert json.loads(out)[0]["loss"] == pytest.approx(sum(parts.values()))
    code, out, _ = call(capsys, "runs", str(run.folder))
    header, row, *curves = out.splitlines()
    assert header.split()[:5] == ["folder", "model", "state", "step", "loss"]
    assert row.split()[1:6] == [run.model_name, "done", "6", "of", "6"] and "mine AP ▁▁ 25.0" in row
    assert "mine AP, %, over crops" in curves and "loss over steps" in curves


def test_one_that_another_process_trains_is_running(run: Run) -> None:
    train(replace(run, max_steps=4))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.folder / ".lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert training_in(run.folder).state == "running"
    finally:
        holder.kill()
        holder.wait()
    assert training_in(run.folder).state == "stopped"


def test_a_damaged_state_is_a_line_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "a" / "step-000000003").mkdir(parents=True)
    (tmp_path / "a" / "step-000000003" / "state.json").write_text("{")
    (one,) = trainings(tmp_path)
    assert one.state == "unreadable" and "state.json: cannot be read" in table_lines([one])[1]


def test_without_a_folder_or_a_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = call(capsys, "runs", str(tmp_path / "nowhere"))
    assert code == 2 and "nowhere: no such folder" in err and len(err.splitlines()) == 1
    assert call(capsys, "runs", str(tmp_path)) == (0, f"{tmp_path}: no training here\n", "")


def test_curves_as_text() -> None:
    assert sparkline([0, 1, 2, 7]) == "▁▂▃█" and sparkline([3, 3]) == "▁▁" and sparkline([]) == ""
    assert spaced(100, 3) == [0, 50, 99] and len(sparkline(range(100))) == 16
    title, top, middle, bottom, below = plot([(0, 0), (1000, 10)], "rising", width=9, height=3)
    assert (title, top, bottom) == ("rising", "10 │      ··●", " 0 │●··")
    assert middle == "   │   ···" and below == "    0   1,000"
    assert [spelling(character) for character in "▁█●"] == ["_", "#", "o"]
