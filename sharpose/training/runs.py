"""The trainings below a folder, by their newest checkpoint or their finished weights: how far each one is."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sharpose.runtime.curves import plot, sparkline
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import read_manifest
from sharpose.runtime.plain_text import aligned
from sharpose.training.checkpoints import checkpoints_in, read_state

State = Literal["running", "stopped", "done", "unreadable"]
NO_LOSS = ("step", "lr", "images_per_s")
"""What a row of the log has beside the parts of the loss."""
FIGURES = ("_ap", "_pck")


@dataclass(frozen=True)
class Training:
    """One training: `step` of `stop`, where that is known, and the rows of its log and of its curve."""

    folder: Path
    state: State
    model: str = ""
    step: int = 0
    stop: int | None = None
    log: tuple[Mapping[str, float], ...] = ()
    curve: tuple[Mapping[str, float | None], ...] = ()
    reason: str = ""

    @property
    def losses(self) -> list[tuple[float, float]]:
        """Return steps and the sum of the loss's parts."""
        return [(row["step"], sum(value for name, value in row.items() if name not in NO_LOSS)) for row in self.log]

    @property
    def figures(self) -> dict[str, list[tuple[float, float]]]:
        """Return AP and PCK in percent over the crops seen, by names like `photos-val AP`."""
        found: dict[str, list[tuple[float, float]]] = {}
        for row in self.curve:
            for name, value in row.items():
                if value is not None and name.endswith(FIGURES):
                    people, _, kind = name.rpartition("_")
                    found.setdefault(f"{people} {kind.upper()}", []).append((row["crops"] or 0, 100 * value))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        losses = self.losses
        facts: dict[str, Any] = {"folder": str(self.folder), "state": self.state, "model": self.model}
        facts |= {"step": self.step, "stop": self.stop, "loss": losses[-1][1] if losses else None}
        facts |= {"reason": self.reason or None} if self.reason else {}
        return {**facts, "log": [dict(row) for row in self.log], "curve": [dict(row) for row in self.curve]}


def trainings(folder: Path) -> list[Training]:
    """Return every training in or below `folder`, by their folders' names. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `sharpose train --out FOLDER` makes it, so name that or one above")
    return [training_in(path) for path in sorted(run_folders(folder))]


def run_folders(folder: Path) -> set[Path]:
    """Return the folders that hold checkpoints, or weights with the log of a training."""
    found = {folder} if checkpoints_in(folder) else set()
    found |= {path.parent for path in folder.rglob("step-*") if path in checkpoints_in(path.parent)}
    return found | {path.parent for path in folder.rglob("*.safetensors") if manifest_of(path) is not None}


def training_in(folder: Path) -> Training:
    """Return how far the training in a folder is."""
    found = [made for path in folder.glob("*.safetensors") if (made := manifest_of(path)) is not None]
    done = max(found, key=lambda made: made["steps"], default=None)
    every = checkpoints_in(folder)
    running = is_locked(folder)
    try:
        stored = read_state(every[-1]) if every else None
    except InputError as error:
        return Training(folder, "unreadable", reason=str(error))
    if done is not None and not running and (stored is None or stored["step"] <= done["steps"]):
        return Training(folder, "done", done["model"], done["steps"], done["steps"], *rows_of(done))
    stored = stored or {"step": 0}
    model = stored.get("identity", {}).get("model", "")
    state: State = "running" if running else "stopped"
    return Training(folder, state, model, stored["step"], stored.get("stop"), *rows_of(stored))


def rows_of(facts: Mapping[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the rows of log and curve."""
    return tuple(facts.get("log", ())), tuple(facts.get("curve", ()))


def manifest_of(weights: Path) -> dict[str, Any] | None:
    """Return what finished weights say of their training; None for others."""
    made = read_manifest(weights) or {}
    return made if isinstance(made.get("log"), list) and isinstance(made.get("steps"), int) else None


def is_locked(folder: Path) -> bool:
    """Return whether another process trains into a folder just now."""
    try:
        with (folder / ".lock").open("r", encoding="utf-8") as lock:
            fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    return False


def table_lines(found: list[Training]) -> list[str]:
    """Return a line per training: folder, model, state, steps, loss, and its curves in small."""
    rows = [["folder", "model", "state", "step", "loss", "AP and PCK over crops"]]
    for one in found:
        losses, step = one.losses, f"{one.step:,}" + (f" of {one.stop:,}" if one.stop else "")
        loss = f"{losses[-1][1]:.2e} {sparkline([value for _, value in losses])}" if losses else ""
        curves = [
            f"{name} {sparkline([y for _, y in points])} {points[-1][1]:.1f}" for name, points in one.figures.items()
        ]
        rows.append([str(one.folder), one.model, one.state, step, loss, "  ".join(curves) or one.reason])
    return aligned(rows)


def curve_lines(one: Training) -> Iterator[str]:
    """Yield the curves of one training as plots: AP and PCK over crops, the loss over steps."""
    for name, points in one.figures.items():
        yield from ["", *plot(points, f"{name}, %, over crops")]
    if one.losses:
        yield from ["", *plot(one.losses, "loss over steps")]
