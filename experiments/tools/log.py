"""Logs of what is measured beside the tables: a JSON object in a line, added at the end; and the options of timings."""

from __future__ import annotations

import argparse
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


def timing_options(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser that knows --device, --rounds, --threads and --show, with a module's text as its description."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--show", action="store_true", help="print the log as a table")
    return parser
