"""A training as it is asked for: the same request from the command line, the harness and a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharpose.training.loop import Judge

Validate = Callable[[Any, str], "Judge"]
"""From a model's configuration and the training's precision to what judges it."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How a training runs, whatever it learns.

    precision: no, bf16, fp16, or auto: bf16 where the device has it. device: cpu or cuda; None: cuda if there is one.
    deadline: the time.monotonic() at which to stop with a checkpoint. max_steps: stop there, though the schedule is
    longer. points: how often to validate: at the end, at half of it, at a quarter, and so on. log_with: trackers that
    follow it.
    """

    seed: int = 0
    workers: int = 0
    precision: str = "no"
    device: str | None = None
    deadline: float | None = None
    max_steps: int | None = None
    points: int = 5
    compiled: bool = False
    deterministic: bool = False
    checkpoint_every_s: float = 240.0
    log_with: Sequence[str] = ()

    @property
    def how(self) -> dict[str, Any]:
        """Return these options by name, of whatever else has them."""
        return {option.name: getattr(self, option.name) for option in fields(How)}


@dataclass(frozen=True, kw_only=True)
class TrainingRequest(How):
    """What to train, on what, and how; `sharpose train` has an option for each.

    data: named sets or annotation files; images: their folders, in the same order. recipe: a name or a YAML file, empty
    for the model's own; changes: of the recipe's fields, or of the model's options. init: weights to start from, a path
    or `timm:NAME`. validate: makes what judges the model on its way (`evaluation.validation.validate_on`). crops:
    shorten the whole recipe so that it sees so many.
    """

    model: str
    data: Sequence[str]
    out: Path
    images: Sequence[Path] = ()
    recipe: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    init: str | Path | None = None
    from_scratch: bool = False
    validate: Validate | None = None
    crops: int | None = None
    preload: bool = False
    by_name: bool = False
    category: str | None = None
