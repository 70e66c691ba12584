"""What modules that are run by themselves (`python -m experiments.…`) share: the options of timings, and the ending."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from sharpose.runtime.errors import InputError, RunFailed


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


def timing_options(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser that knows --device, --rounds, --threads and --show, with a module's text as its description."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--show", action="store_true", help="print the log as a table")
    return parser
