"""The ways a command can end badly; `sharpose.cli` turns them into exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what to suggest for an unknown `word`: the closest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """Return what an error of a library says, for a message of one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class InputError(ValueError):
    """Bad input (exit code 2). The message is one line: which file, which field, and the way out."""


class RunFailed(RuntimeError):
    """A run that started on good input and could not finish."""

    exit_code = 1


class Interrupted(RunFailed):
    """A signal asked a run to stop; its checkpoint is written, and the same command goes on (75: ready to requeue)."""

    exit_code = 75


class OutOfTime(Interrupted):
    """The time that a run was given is spent; its checkpoint is written, and the same command goes on."""
