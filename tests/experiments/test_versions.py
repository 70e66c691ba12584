"""Two versions of a model in one run, each imported from its own checkout."""

from __future__ import annotations

import pytest

from experiments.tools import versions
from sharpose.runtime.errors import InputError


@pytest.mark.slow
def test_this_commit_against_itself() -> None:
    found = versions.compare("HEAD", "sharpose-nano-128x96", {"quality_threshold": None}, 2, 3)
    assert [len(taken) for taken in found["samples_ms"].values()] == [3, 3, 3]
    assert found["now_times_as_fast"] == pytest.approx(1, abs=0.9)
    assert "before" not in versions.git("worktree", "list")


def test_a_commit_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"^git worktree add .*no-such-commit"):
        versions.compare("no-such-commit", "sharpose-nano-128x96", {}, 1, 1)
