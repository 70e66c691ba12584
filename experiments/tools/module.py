"""What modules that are run by themselves (`python -m experiments.…`) share: options, timing, logs and the ending."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cells.provenance import local_device, provenance
from results.logs import add_lines, read_lines
from sharpose.runtime.errors import InputError, RunFailed

if TYPE_CHECKING:
    from sharpose.efficiency.timing import Sample

Line = Mapping[str, Any]
"""A line of a log."""


def run(main: Callable[[], None]) -> None:
    """Run `main`; bad input ends in one line and exit code 2, a failed run in one line and its own code."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def options(doc: str | None, *, log: bool = False, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser with a module's text as its description.

    log: it knows --show. rounds: as many are the default of --rounds, beside which it knows --device and --threads.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        parser.add_argument("--rounds", type=int, default=rounds)
        parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    if log:
        parser.add_argument("--show", action="store_true", help="print the log as a table, and measure nothing")
    return parser


@dataclass(frozen=True)
class Timing:
    """In how many rounds, on which device and with how many threads (None: as many as torch takes) calls are timed.

    Raises InputError for no rounds.
    """

    device: str
    rounds: int
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError("--rounds: at least one is needed")

    def measure(
        self, calls: Mapping[str, Callable[[], Any]], warmup: int
    ) -> tuple[dict[str, list[Sample]], dict[str, Any], dict[str, Any]]:
        """Time calls interleaved; their samples, what the clocks did meanwhile, and the provenance with the threads."""
        import torch

        from sharpose.efficiency.clocks import changes, read_clocks
        from sharpose.efficiency.timing import interleave, torch_threads

        with torch_threads(self.threads):
            before = read_clocks(self.device)
            samples = interleave(calls, self.device, self.rounds, warmup)
            clocks, used = changes(before, read_clocks(self.device)), torch.get_num_threads()
        return samples, clocks, {**provenance(local_device(self.device)), "threads": used}


def study(
    log: Path,
    told: Callable[[Sequence[Line]], str],
    show: bool,
    measure: Callable[[], Iterable[Sequence[Line]]],
    key: Sequence[str] = (),
) -> None:
    """Print what is `told` of a log, or `measure`, and add lines to it and print them as soon as they are known.

    key: fields of a line; of those that are alike in all of them, the last one is shown.
    """
    if show:
        print(told(read_lines(log, key)))
        return
    for lines in measure():
        add_lines(log, lines)
        print(told(lines), flush=True)
