"""The front door: one command, `sharpose`. The only package that may import from every folder, and always lazily.

One file per group of commands; importing it adds them to the application.
"""

from __future__ import annotations

import sys
from importlib import import_module

from sharpose.runtime.errors import InputError, Interrupted, RunFailed
from sharpose.runtime.files import is_full
from sharpose.runtime.signals import StopOnSignal, ignore_stop_signals

GO_ON = ("train", "train-missing", "evaluate", "run", "fill")
"""Commands that do, called again, what is still to be done."""
BY_CTRL_C = 130
GROUPS = (
    *("predict", "models", "export", "tables", "training", "accuracy", "compare", "submission", "data"),
    *("records", "gate", "speed", "gpu"),
)
"""The files of commands, in the order in which `sharpose --help` lists them under its headings."""


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2, a failed run in one line and 1.

    A signal that asks to stop ends what can go on in one line and 75, the rest in one line and the code shells know.
    """
    stop = StopOnSignal(at_once=True)
    try:
        with stop:
            run_command()
    except BaseException as error:
        if stop.asked is not None:
            ignore_stop_signals()
        message, code = verdict(error, stop)
    else:
        return
    fail(message, code)


def run_command() -> None:
    """Parse the command line and do what it says."""
    from sharpose.runtime.plain_text import prepare_streams

    prepare_streams()
    for group in GROUPS:
        import_module(f"sharpose.cli.{group}")
    from sharpose.cli.app import app

    app(prog_name="sharpose")


def verdict(error: BaseException, stop: StopOnSignal) -> tuple[str, int]:
    """Return what to say of an error, and the exit code; raise it again where it is our fault, or an ordinary end."""
    if isinstance(error, (InputError, *store_errors())):
        return str(error), 2
    if isinstance(error, RunFailed):
        return str(error), error.exit_code
    # typer makes one of these exit codes of an interrupt; and what a signal tears apart may fail in any way
    of_typer = isinstance(error, SystemExit) and error.code in (BY_CTRL_C, 1 if stop.asked else BY_CTRL_C)
    if isinstance(error, KeyboardInterrupt) or of_typer or (stop.asked and not isinstance(error, SystemExit)):
        return stopped(stop)
    if isinstance(error, OSError):
        text = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return text, 1 if is_full(error) else 2
    raise error


def stopped(stop: StopOnSignal) -> tuple[str, int]:
    """Return what a command ends with that was told to stop."""
    if stop.asked is None or stop.aborted:
        return "interrupted; what was complete is kept", BY_CTRL_C
    if sys.argv[1:2] and sys.argv[1] in GO_ON:
        kept = "what was complete is kept; run the same command again to go on"
        return f"stopped by {stop.asked.name}; {kept}", Interrupted.exit_code
    return f"interrupted by {stop.asked.name}; what was complete is kept", 128 + stop.asked


def store_errors() -> tuple[type[Exception], ...]:
    """Return the store's own error class, where the store was used; it cannot be ours, as `results` imports nothing."""
    records = sys.modules.get("results.records")
    return (records.StoreError,) if records else ()


def fail(message: str, code: int) -> None:
    """Say why in one line, and end."""
    from sharpose.runtime.progress import say

    say(f"sharpose: {' '.join(message.split())}")
    sys.exit(code)
