"""docs/extend.md as it is written: a system from outside the source tree, from the list of models to a table."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from results.store import Store
from sharpose.data import cache
from sharpose.models import registry
from tests.command_line import call

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extend.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the page's files; a few people stand for each generated set."""
    for language in ("python", "yaml"):
        for block in blocks(language):
            (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "SYSTEMS", dict(registry.SYSTEMS))
    monkeypatch.delitem(sys.modules, "tiny", raising=False)
    few = {name: replace(people, images=6) for name, people in cache.NAMED_SETS.items()}
    monkeypatch.setattr(cache, "NAMED_SETS", few)
    monkeypatch.setattr("sharpose.data.locate.NAMED_SETS", few)
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Store.__init__, "__defaults__", (tmp_path / "results",))
    return tmp_path


def test_the_system_has_at_most_fifteen_lines() -> None:
    (block,) = blocks("python")
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 15


def test_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for command in "".join(blocks("sh")).splitlines():
        code, out, err = call(capsys, *shlex.split(command)[1:])
        assert code == 0, f"{command}: {err}"
        words = shlex.split(command)
        said[words[3] if words[1] == "--plugin" else words[1]] = out
    listed = next(line for line in said["models"].splitlines() if line.startswith("tiny-128x96"))
    assert listed.split()[:4] == ["tiny-128x96", "128x96", "–", "–"]
    # 3·32·49 + 32 weights of the first layer, 32·17 + 17 of the second, at 32 x 24 places
    assert "0.005 M parameters" in said["cost"] and "0.004" in said["cost"] and "–" in said["cost"]
    assert "images/s" in said["bench"] and "AP" in said["evaluate"]
    header, tiny, hrnet = (
        next(line for line in said["run"].splitlines() if word in line) for word in ("AP", "Tiny", "HRNet ")
    )
    assert "params (M)" in header and tiny.count("–") < hrnet.count("–")
    assert (folder / "mine.csv").is_file() and (folder / "results" / "local" / "accuracy").is_dir()


def test_a_spec_says_which_plug_in_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = folder / "mine.yaml"
    spec.write_text(spec.read_text().replace("[tiny.py]", "[tinny.py]"))
    code, _, err = call(capsys, "table", "mine.yaml")
    assert code == 2 and "mine.yaml:3: plug-in " in err and "tinny.py: no such file" in err
