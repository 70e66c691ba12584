"""What a call for a GPU works on: which systems and races, how much of everything, where it goes, until when."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.cells.provenance import Device
from experiments.spec.catalog import Places
from results.store import Store


@dataclass(frozen=True)
class System:
    """A model to train on photographs; its `share` of the budget, and the system that teaches it."""

    name: str
    model: str
    share: float
    teacher: str | None = None


@dataclass(frozen=True)
class Race:
    """The systems of a tier's shared budget, several at a time."""

    tier: str
    share: float


@dataclass(frozen=True)
class Scale:
    """How much of everything: for a GPU, or for a rehearsal on a CPU.

    changes: to the recipe of all trainings. crops: at most so many in a training; fewer where the time does not
    suffice, but not below `least_crops`. probe_steps: after which a training's length is chosen, by their speed.
    speeds_share, races: of the budget.
    """

    systems: Sequence[System]
    changes: Mapping[str, Any]
    validate: Sequence[str]
    crops: int
    least_crops: int
    probe_steps: int
    speeds: Sequence[str]
    batch_sizes: Sequence[int]
    precisions: Sequence[str]
    modes: Sequence[str]
    rounds: int
    speeds_share: float
    races: Sequence[Race]
    tiers: Path = Places.tiers


@dataclass
class Work:
    """One call: where everything goes, on what, from which start, until when."""

    folder: Path
    scale: Scale
    device: Device
    end: float
    start: Path | None = None
    compiled: bool = False
    workers: int = 0
    clock: Callable[[], float] = time.monotonic

    def log(self, text: str) -> None:
        """Add a line to the log, and say it."""
        line = f"{datetime.now(UTC):%H:%M:%S} [{self.end - self.clock():4.0f} s left] {text}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "gpu.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, file=sys.stderr, flush=True)

    @property
    def is_gpu(self) -> bool:
        """Return whether the work is done on a CUDA device."""
        return self.device.kind == "cuda"

    @property
    def store(self) -> Store:
        """Return the store of this folder's records alone, to be put among the others where they are wanted."""
        return Store(self.folder / "records")
