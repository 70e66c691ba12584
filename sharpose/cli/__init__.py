"""The front door: one command, `sharpose`. The only package that may import from every folder, and always lazily.

One file per group of commands; importing it adds them to the application.
"""

from __future__ import annotations

import errno
import sys

# in the order of `sharpose --help`
from sharpose.cli import models, data, training, accuracy, compare, submission, speed, gate, tables, export  # isort: skip  # noqa: F401
from sharpose.cli.app import app
from sharpose.errors import InputError, RunFailed


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2, a failed run in one line and 1."""
    try:
        app()
    except ValueError as error:
        if not isinstance(error, (InputError, *store_errors())):
            raise
        fail(str(error), 2)
    except RunFailed as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        # a path that cannot be made or written is bad input; a full disk is not the user's mistake
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE)
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1 if full else 2)
    except KeyboardInterrupt:
        fail("interrupted; what was complete is kept", 130)


def store_errors() -> tuple[type[Exception], ...]:
    """The store's own error class, where the store was used; it cannot be ours, as `results` imports nothing."""
    store = sys.modules.get("results.store")
    return (store.StoreError,) if store else ()


def fail(message: str, code: int) -> None:
    print(f"sharpose: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
