"""How modules that are run by themselves end."""

import pytest

from experiments.tools.module import run
from sharpose.runtime.errors import InputError, Interrupted, RunFailed


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no such thing"), 2, "error: no such thing\n"),
        (RunFailed("it broke"), 1, "failed: it broke\n"),
        (Interrupted("stopped"), 75, "failed: stopped\n"),
    ],
)
def test_an_error_is_one_line_and_its_code(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == code and capsys.readouterr().err == line
