"""The command line in this process, as a user would call it."""

from __future__ import annotations

import sys

import pytest

from sharpose import cli


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `sharpose` with these arguments."""
    before, sys.argv = sys.argv, ["sharpose", *arguments]
    code = 0
    try:
        cli.main()
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    finally:
        sys.argv = before
    out = capsys.readouterr()
    return code, out.out, out.err
