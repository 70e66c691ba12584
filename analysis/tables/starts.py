"""What weights began with and how many crops they have seen in all: whether rows had an equal chance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from analysis.tables.lines import Line


@dataclass(frozen=True)
class Start:
    """How trained weights began. before: crops that its start had seen; taken: of how many of its own tensors."""

    name: str
    own: int
    before: int
    file: str | None
    matched: int | None
    tensors: int | None
    fresh: tuple[str, ...]

    @property
    def crops(self) -> int:
        """Crops seen in all, those of its start included."""
        return self.own + self.before

    @property
    def text(self) -> str:
        """What was taken from where."""
        if self.file is None:
            return "random weights"
        if self.tensors is None:
            return "the whole of an earlier training of its own"
        if not self.fresh:
            return f"all of its {self.tensors} tensors from {self.file}, its head included"
        return f"{self.matched} of its {self.tensors} tensors from {self.file}, new: {', '.join(self.fresh)}"


@cache
def read_start(weights: Path) -> Start | None:
    """Return what the manifest beside weights says of their start; None where it says too little."""
    try:
        made = json.loads(weights.with_suffix(".json").read_bytes())
        init = made["init"]
        own, before = crops_of(made), sum(crops_of(one) for one in ancestors(made))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    taken = (init or {}).get("taken") or {}
    # manifests of other origin may say nothing of single tensors
    known = "matched" in taken
    counts = {part: len(taken.get(part, ())) for part in ("resized", "missing")}
    matched = taken["matched"] + counts["resized"] if known else None
    tensors = None if matched is None else matched + counts["missing"]
    fresh = tuple(dict.fromkeys(name.split(".")[0] for name in taken.get("missing", ())))
    return Start(weights.stem, own, before, None if init is None else init["file"], matched, tensors, fresh)


def crops_of(made: Mapping[str, Any]) -> int:
    """Crops that one training has seen."""
    return int(made["steps"] * made["recipe"]["batch_size"])


def ancestors(made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The manifests of what a training began with, and what that began with."""
    before = (made.get("init") or {}).get("manifest")
    return [] if before is None else [before, *ancestors(before)]


def start_of(line: Line) -> Start | None:
    """The start of the weights that a row was measured with; None for a control, and where nothing is trained."""
    cell = line.cells.get("accuracy") or line.cells.get("predictions")
    return None if cell is None or cell.weights is None else read_start(cell.weights)


def shown_apart(lines: list[Line], base_weights: str) -> tuple[list[Line], int]:
    """Return the rows that are compared, then those below the line, and how many these are.

    Below stand rows from random weights where others began with trained ones, and weights that are shown for what they
    are (`start`, `best`) in a table of others.
    """
    starts = {line.row.label: start_of(line) for line in lines}
    some_started = any(start is not None and start.file is not None for start in starts.values())

    def apart(line: Line) -> bool:
        start, weights = starts[line.row.label], line.row.set.get("weights", base_weights)
        random = some_started and start is not None and start.file is None
        return random or (weights != base_weights and weights in ("start", "best"))

    below = [line for line in lines if apart(line)]
    return [line for line in lines if not apart(line)] + below, len(below)


def starts_text(lines: list[Line], below: int) -> list[str]:
    """What every trained row has had: crops in all, and what it took from its start. Whether chances were equal."""
    known = [(line.row.label, start) for line in lines if (start := start_of(line)) is not None]
    if not known:
        return []
    above = {line.row.label for line in lines[: len(lines) - below]}
    compared = [(label, start) for label, start in known if label in above]
    facts: dict[tuple[int, int, str], list[str]] = {}
    for label, start in known:
        facts.setdefault((start.crops, start.own, start.text), []).append(label)
    said = "; ".join(
        f"{rows_text(labels, [label for label, _ in compared])}: {seen_text(crops, own)}, {text}"
        for (crops, own, text), labels in facts.items()
    )
    text = [f"Crops of people seen in all, starts included, and what each began with: {said}."]
    if len({start.text for _, start in compared}) > 1:
        text.append(
            "NOT an equal chance: these rows began with different parts of one trained pose network, a SHaRPose with "
            "its head, keypoint tokens and reuse MLP, so their differences are also of what could be taken from it."
        )
    if below:
        apart = ", ".join(line.row.label for line in lines[len(lines) - below :])
        text.append(f"Below the line, not in the comparison, as their weights came about otherwise: {apart}.")
    return text


def rows_text(labels: list[str], compared: list[str]) -> str:
    """Rows that share a fact by their labels; all that are compared in two words."""
    return "every compared row" if len(labels) > 1 and labels == compared else ", ".join(labels)


def seen_text(crops: int, own: int) -> str:
    """Return the crops seen in all and, where they are fewer, those of its own training."""
    return f"{crops:,}" + (f" ({own:,} of them its own)" if own < crops else "")
