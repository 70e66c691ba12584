"""Logs of what is measured beside the tables: a JSON object in a line, added at the end, and shown as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpose.runtime.errors import InputError


def add_lines(log: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to the end of a log."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with log.open("a", encoding="utf-8") as file:
        file.write(text)


def read_lines(log: Path, key: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the lines of a log; with the fields of a `key`, the last of those that measure the same.

    Raises InputError where there is no log.
    """
    if not log.exists():
        raise InputError(f"{log.name} is not there: measure first, without --show")
    lines = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    return list({tuple(line[name] for name in key): line for line in lines}.values()) if key else lines


def markdown(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, without a line end after its last row."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])
