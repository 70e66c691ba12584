"""The ending of modules that are run by themselves (`python -m experiments.…`)."""

from __future__ import annotations

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
