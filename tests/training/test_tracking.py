"""Trackers of others follow a training: what is sent to them, and one line where they are not there."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import accelerate.tracking
import pytest
from accelerate.utils import LoggerType

from sharpose.data.coco import CocoTopDown
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.training import tracking
from sharpose.training.engine import Run, train
from sharpose.training.loop import figures_text
from sharpose.training.recipe import Recipe
from sharpose.training.tracking import check_trackers

RECIPE = Recipe(
    epochs=2, batch_size=8, warmup_iterations=2, milestones=(), sigma=1.5,
    model_options={"embed_dim": 24, "num_heads": 4, "depth": 3},
)  # fmt: skip


class Recorder(accelerate.tracking.GeneralTracker):
    """Remembers what it is told, as a tracker of accelerate."""

    name, requires_logging_directory = "mlflow", False
    made: list[Recorder]

    def __init__(self, project: str, **settings: Any) -> None:
        super().__init__()
        self.project, self.settings, self.rows, self.closed = project, settings, list[tuple[Any, Any]](), False
        Recorder.made.append(self)
        # what accelerate calls later since it has `start`, its older trackers do themselves
        if not hasattr(accelerate.tracking.GeneralTracker, "start"):
            self.start()

    @property
    def tracker(self) -> Recorder:
        return self

    def start(self) -> None:
        self.rows.append(("start", None))

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.facts = values

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.rows.append((values, step))

    def finish(self) -> None:
        self.closed = True


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """A recorder in the place of MLflow."""
    Recorder.made = []
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "mlflow", Recorder)
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [LoggerType.MLFLOW])
    monkeypatch.setattr(tracking, "EVERY", 1)
    return Recorder


@pytest.fixture
def run(people: CocoTopDown, tmp_path: Path) -> Run:
    judge = lambda model: {"mine_ap": 0.25, "mine_pck": None}  # noqa: E731
    return Run("sharpose-nano-128x96", RECIPE, people, tmp_path / "first", log_with=["mlflow"], validation=judge)


def test_a_tracker_gets_facts_losses_rate_and_figures(recorder: type[Recorder], run: Run) -> None:
    _, state = train(run)
    (one,) = recorder.made
    assert (one.project, one.settings, one.closed) == ("sharpose", {"run_name": "first"}, True)
    assert one.facts["model"] == "sharpose-nano-128x96" and one.facts["epochs"] == 2 and one.facts["seed"] == 0
    assert all(isinstance(value, bool | int | float | str) for value in one.facts.values())
    points = [(values, step) for values, step in one.rows if values != "start"]
    (first, step), *_, (last, end) = points
    assert step == 0 and {"lr", *state.log[0]} - {"step", "images_per_s"} <= set(first)
    assert first["lr"] == state.log[0]["lr"]
    assert (last, end) == ({"mine_ap": 0.25}, state.step)


def test_it_is_closed_when_the_run_fails(recorder: type[Recorder], run: Run) -> None:
    with pytest.raises(RunFailed):
        train(replace(run, recipe=RECIPE.model_copy(update={"loss_factor": float("nan"), "learning_rate": 1e30})))
    assert recorder.made[0].closed


def test_one_that_fails_later_is_one_line_and_training_goes_on(
    recorder: type[Recorder], run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Recorder, values: dict[str, Any], step: int | None = None) -> None:
        self.rows.append((values, step))
        raise ConnectionError("the server is gone\nfor good")

    monkeypatch.setattr(Recorder, "log", refuse)
    _, state = train(run)
    assert len(recorder.made[0].rows) == 2 and len(state.curve) == 4  # a start and one point; every validation
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert said == ["warning: --log-with mlflow failed (the server is gone); nothing more is sent there"]


def test_one_that_does_not_start_is_one_line(
    recorder: type[Recorder], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Recorder) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(Recorder, "start", refuse)
    with pytest.raises(InputError, match=r"^--log-with: does not start \(no route\); leave it out, or mend that$"):
        train(run)


def test_what_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="it must be one of tensorboard, wandb, mlflow, trackio"):
        check_trackers(["excel"])
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^--log-with wandb: needs wandb; pip install 'sharpose\[wandb\]'$"):
        check_trackers(["wandb"])


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"no {name} here")


@needs("tensorboard")
def test_tensorboard_reads_it(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(replace(run, log_with=["tensorboard"]))
    read = EventAccumulator(str(run.folder / "sharpose"))
    read.Reload()
    assert [point.value for point in read.Scalars("mine_ap")] == [0.25] * 4
    assert {"lr", "mine_ap"} < set(read.Tags()["scalars"])


@needs("mlflow")
def test_mlflow_reads_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    _, state = train(replace(run, log_with=["mlflow"]))
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("sharpose")
    (one,) = client.search_runs([experiment.experiment_id])
    assert one.info.run_name == "first" and one.info.status == "FINISHED"
    assert one.data.params["model"] == "sharpose-nano-128x96" and one.data.params["epochs"] == "2.0"
    points = {point.step: point.value for point in client.get_metric_history(one.info.run_id, "mine_ap")}
    assert points == {row["step"]: 0.25 for row in state.curve}
    assert client.get_metric_history(one.info.run_id, "lr")[0].value == state.log[0]["lr"]


@needs("trackio")
def test_trackio_reads_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # read once, when trackio is imported
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    _, state = train(replace(run, log_with=["trackio"]))
    with contextlib.closing(sqlite3.connect(tmp_path / "trackio" / "sharpose.db")) as kept:
        rows = [(step, json.loads(values)) for step, values in kept.execute("SELECT step, metrics FROM metrics")]
    assert [(step, values) for step, values in rows if "mine_ap" in values] == [
        (row["step"], {"mine_ap": 0.25}) for row in state.curve
    ]
    assert rows[0][0] == 0 and rows[0][1]["lr"] == state.log[0]["lr"]


@needs("wandb")
def test_wandb_keeps_it_without_a_network(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    train(replace(run, log_with=["wandb"]))
    # the file is complete when its service has ended
    wandb.teardown()
    (kept,) = run.folder.glob("wandb/offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    # its own format; names and values are readable in it
    assert all(name in content for name in (b"sharpose-nano-128x96", b"mine_ap", b"0.25", b"lr"))


def test_figures_in_words() -> None:
    assert figures_text({"step": 3, "photos-val_ap": 0.2504, "photos-val_pck": None, "a_b_pck": 0.5}) == (
        "photos-val AP 25.0 a_b PCK 50.0"
    )
