"""Follow a training in TensorBoard, Weights & Biases, MLflow or Trackio, through accelerate's trackers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import LoggerType, ProjectConfiguration

from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.progress import say

PACKAGES = ("tensorboard", "wandb", "mlflow", "trackio")
"""Trackers, each by the name of the package that it needs; `pip install 'sharpose[NAME]'` brings it."""
PROJECT = "sharpose"
"""The project, or experiment, under which runs are filed; one is called as its folder is."""
EVERY = 10
"""Steps between two points of the loss."""


def check_trackers(names: Sequence[str]) -> None:
    """Raise InputError for a tracker that is not known, or whose package is not installed."""
    for name in names:
        if name not in PACKAGES:
            raise InputError(f"--log-with {name!r} does not work: it must be one of {', '.join(PACKAGES)}")
        if find_spec(name) is None:
            raise InputError(f"--log-with {name}: needs {name}; pip install 'sharpose[{name}]'")
        if name not in [str(one) for one in LoggerType]:
            raise InputError(f"--log-with {name}: accelerate here is too old for it; pip install -U accelerate")


def tracking(names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return what an Accelerator has to be told, so that it follows a training in `folder`."""
    if not names:
        return {}
    places = ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder))
    return {"log_with": list(dict.fromkeys(names)), "project_config": places}


@contextlib.contextmanager
def tracked(accelerator: Accelerator, folder: Path, facts: Mapping[str, Any]) -> Iterator[None]:
    """Begin to track with these facts of the run, and close what was opened, however the run ends.

    Raises InputError where a tracker does not start, as without a login.
    """
    name = folder.resolve().name
    how = {"wandb": {"name": name, "dir": str(folder)}, "mlflow": {"run_name": name}, "trackio": {"name": name}}
    if accelerator.log_with:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            accelerator.init_trackers(PROJECT, plain(facts), how)
        # each has errors of its own
        except Exception as error:
            raise InputError(f"--log-with: does not start ({first_line(error)}); leave it out, or mend that") from error
    try:
        yield
    finally:
        for tracker in accelerator.trackers:
            told(tracker.name, tracker.finish)


def follow(accelerator: Accelerator, values: Mapping[str, float], step: int) -> None:
    """Send numbers of a step to every tracker; one that fails hears no more, and the training goes on."""
    hear = [each for each in accelerator.trackers if told(each.name, each.log, dict(values), step=step)]
    accelerator.trackers = hear


def told(name: str, message: Callable[..., Any], *values: Any, **named: Any) -> bool:
    """Call a tracker; where it fails, say so in one line and return False."""
    try:
        message(*values, **named)
    # each has errors of its own, as of a server that is gone
    except Exception as error:
        say(f"warning: --log-with {name} failed ({first_line(error)}); nothing more is sent there")
        return False
    return True


def plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as trackers take them: numbers, words and truths; everything else as its text."""
    return {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in facts.items()}
