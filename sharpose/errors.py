"""The two ways a command can end badly; `sharpose.cli` turns them into exit codes."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input (exit code 2). The message is one line: which file, which field, and the way out."""


class RunFailed(RuntimeError):
    """A run that started on good input and could not finish (exit code 1)."""
