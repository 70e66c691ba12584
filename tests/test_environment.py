"""Where the command line is run: locales and time zones, users without a home, checkouts of other systems."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def sharpose(*words: str, **how: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **how.pop("env", {})}  # type: ignore[dict-item]
    command = [sys.executable, "-m", "sharpose.cli", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=600, check=False, **how)  # type: ignore[call-overload,no-any-return]


ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Pacific/Kiritimati"}


def test_a_table_in_an_ascii_locale() -> None:
    done = sharpose("table", "6a", env=ASCII)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and b"alpha" in done.stdout and b"74.8" in done.stdout
    assert b"Traceback" not in done.stderr


def test_files_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    done = sharpose("export", "--table", "6a", "--format", "markdown", "--out", str(tmp_path / "t.md"), env=ASCII)
    assert done.returncode == 0, done.stderr
    assert "| α |" in (tmp_path / "t.md").read_text(encoding="utf-8")


def says_no_encoding(call: ast.Call) -> bool:
    """Whether this reads or writes text in whatever encoding the locale has."""
    of_path = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if "encoding" in {keyword.arg for keyword in call.keywords}:
        return False
    if name == "read_text" and of_path:
        return not call.args
    mode = call.args[0 if of_path else 1 :][:1]
    return name == "open" and any(isinstance(one, ast.Constant) and one.value in ("r", "w", "a", "x") for one in mode)


def test_no_text_is_read_in_the_encoding_of_the_locale() -> None:
    found = []
    for folder in ("sharpose", "experiments", "analysis", "results"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            found += [f"{path.relative_to(ROOT)}:{call.lineno}" for call in calls if says_no_encoding(call)]
    assert not found


NOBODY = """
import os, pwd
del os.environ["HOME"]
# as a container has it that runs under a number of its own
pwd.getpwuid = lambda number: {}[number]
from sharpose import cli
cli.main()
"""


def test_a_user_without_a_home_is_told_what_to_set() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHARPOSE_CACHE": "", "HOME": ""}
    command = [sys.executable, "-c", NOBODY, "data", "mannequin", "--name", "mannequin-tiny"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (
        2, b"sharpose: this user has no home folder; set SHARPOSE_CACHE to a folder for generated data\n",
    )  # fmt: skip


def test_a_checkout_with_other_line_ends_has_the_same_records() -> None:
    """As `git config core.autocrlf true` makes it."""
    git = ["git", "-C", str(ROOT)]
    record = next((ROOT / "results" / "published" / "cost").glob("*.json")).relative_to(ROOT).as_posix()
    stored = subprocess.run([*git, "show", f"HEAD:{record}"], capture_output=True, check=False)
    if stored.returncode:
        pytest.skip("no git checkout here")
    checkout = [*git, "-c", "core.autocrlf=true", "archive", "--worktree-attributes", "--format=tar", "HEAD", record]
    written = subprocess.run([*checkout], capture_output=True, check=True).stdout
    assert stored.stdout in written and b"\r\n" not in stored.stdout
