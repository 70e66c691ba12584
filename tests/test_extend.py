"""docs/extend.md as it is written: a system from outside the source tree, from the list of models to a table."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.cells.cells import Cell
from experiments.cells.measures import measure
from experiments.cells.provenance import Device
from experiments.spec import measures
from experiments.spec.catalog import open_catalog
from results.store import Store
from sharpose.data import cache
from sharpose.models import registry
from sharpose.runtime.errors import InputError, RunFailed
from tests.command_line import call
from tests.evaluation.test_coco import write_people

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extend.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own with the page's files; a few people stand for each generated set."""
    for language in ("python", "yaml"):
        for block in blocks(language):
            (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    monkeypatch.chdir(tmp_path)
    for module in ("tiny", "activations"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "people").mkdir()
    write_people(tmp_path / "people")
    few = {name: replace(people, images=6) for name, people in cache.NAMED_SETS.items()}
    monkeypatch.setattr(cache, "NAMED_SETS", few)
    monkeypatch.setattr("sharpose.data.locate.NAMED_SETS", few)
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Store.__init__, "__defaults__", (tmp_path / "results",))
    # modules hold these very dictionaries, so what is registered is taken out of them again
    registries: list[dict[str, Any]] = [registry.SYSTEMS, measures.MEASURES]
    before = [dict(one) for one in registries]
    yield tmp_path
    for one, entries in zip(registries, before, strict=True):
        one.clear()
        one.update(entries)


def test_the_system_has_at_most_fifteen_lines() -> None:
    block = blocks("python")[0]
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 15


def activations_of(name: str) -> float:
    """What the page's measure gives, from the module that the page's spec imported."""
    return sys.modules["activations"].activations(name, {})["activations"]


def test_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for command in "".join(blocks("sh")).splitlines():
        code, out, err = call(capsys, *shlex.split(command)[1:])
        assert code == 0, f"{command}: {err}"
        words = shlex.split(command)
        said[words[3] if words[1] == "--plugin" else " ".join(words[1:3])] = out
    listed = next(line for line in said["models"].splitlines() if line.startswith("tiny-128x96"))
    assert listed.split()[:4] == ["tiny-128x96", "128x96", "–", "–"]
    # 3·32·49 + 32 weights of the first layer, 32·17 + 17 of the second, at 32 x 24 places
    assert "0.005 M parameters" in said["cost"] and "0.004" in said["cost"] and "–" in said["cost"]
    assert "images/s" in said["bench"] and "AP" in said["evaluate"]
    header, tiny, hrnet = (
        next(line for line in said["run mine.yaml"].splitlines() if word in line) for word in ("AP", "Tiny", "HRNet ")
    )
    assert "params (M)" in header and tiny.count("–") < hrnet.count("–")
    own = next(line for line in said["run people.yaml"].splitlines() if "SHaRPose" in line and "[" in line)
    assert "activations (M)" in said["run people.yaml"] and "8 people in 4 images" in said["run people.yaml"]
    assert float(re.findall(r"[\d.]+", own)[-1]) == pytest.approx(activations_of("sharpose-nano-128x96"), rel=1e-3)
    assert (folder / "mine.csv").is_file() and (folder / "results" / "local" / "accuracy").is_dir()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "measure: [accuracy, memory]",
            "measure: [accuracy, memry]",
            r"people\.yaml:6: measure\[1\]: no measure .*'memry'; .*'memory'",
        ),
        (
            "columns: [ap, activations]",
            "columns: [ap, activation]",
            r"columns\[1\]: no column .*'activation'; .*'activations'",
        ),
        ("{mine:", "{coco-val:", "has a data set 'coco-val' already; choose another name"),
        ("people/people.json", "people/peeple.json", r"peeple\.json: no such file or folder; .*people\.yaml names it"),
        ("dataset: mine", "dataset: mien", "no data set is called 'mien'|that stands for mien"),
    ],
)
def test_a_spec_with_people_and_a_measure_of_its_own_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    spec = folder / "people.yaml"
    spec.write_text(spec.read_text().replace(old, new))
    code, out, err = call(capsys, "table", "people.yaml")
    assert re.search(said, err + out) and code == (0 if "mien" in said else 2)


def test_a_measure_has_a_name_of_its_own_and_gives_what_it_promised(folder: Path) -> None:
    with pytest.raises(InputError, match="there is one of that name already"):
        measures.register_measure("cost", lambda name, options: {}, {"x": "X"})
    with pytest.raises(InputError, match="'X' cannot be a name"):
        measures.register_measure("mine", lambda name, options: {}, {"X": "X"})
    measures.register_measure("mine", lambda name, options: {}, {"x": "X"})
    cell = Cell("spec", "row", "mine", "nano", "sharpose-nano-128x96", {})
    with pytest.raises(RunFailed, match="spec row: mine: the measure gave no 'x'"):
        list(measure([cell], None, open_catalog(), Device("cpu", "some", 1), lambda done, total: None))


def test_an_installed_package_needs_no_option(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # as pip would leave it: a module, and beside it what the package declares
    (declaration,) = blocks("toml")
    group, line = declaration.strip().splitlines()
    assert group == '[project.entry-points."sharpose.systems"]' and line == 'tiny = "my_lab.tiny"'
    (folder / "my_lab").mkdir()
    (folder / "tiny.py").rename(folder / "my_lab" / "tiny.py")
    (folder / "my_lab-1.0.dist-info").mkdir()
    (folder / "my_lab-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 1.0\n")
    (folder / "my_lab-1.0.dist-info" / "entry_points.txt").write_text("[sharpose.systems]\ntiny = my_lab.tiny\n")
    monkeypatch.syspath_prepend(str(folder))
    registry.load_installed.cache_clear()
    try:
        assert "tiny-128x96" in registry.list_models()
        assert registry.resolve_config("tiny-128x96", width=8).width == 8
    finally:
        registry.load_installed.cache_clear()
        for module in ("my_lab", "my_lab.tiny"):
            sys.modules.pop(module, None)


def test_a_spec_says_which_plug_in_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = folder / "mine.yaml"
    spec.write_text(spec.read_text().replace("[tiny.py]", "[tinny.py]"))
    code, _, err = call(capsys, "table", "mine.yaml")
    assert code == 2 and "mine.yaml:3: plug-in " in err and "tinny.py: no such file" in err
