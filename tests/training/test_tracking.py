"""Trackers of others follow a training: what is sent to them, and one line where they are not there."""

from __future__ import annotations

import importlib.util
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


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="no tensorboard here")
def test_tensorboard_reads_it(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(replace(run, log_with=["tensorboard"]))
    read = EventAccumulator(str(run.folder / "sharpose"))
    read.Reload()
    assert [point.value for point in read.Scalars("mine_ap")] == [0.25] * 4
    assert {"lr", "mine_ap"} < set(read.Tags()["scalars"])


def test_figures_in_words() -> None:
    assert figures_text({"step": 3, "photos-val_ap": 0.2504, "photos-val_pck": None, "a_b_pck": 0.5}) == (
        "photos-val AP 25.0 a_b PCK 50.0"
    )
