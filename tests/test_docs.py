"""Every command of README, CONTRIBUTING and docs/ either runs here as it is written, or is listed with a reason."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from analysis.tables.raw import for_files
from analysis.tables.tables import build_tables
from results.store import Store
from sharpose import cli
from sharpose.data import cache
from sharpose.pose.skeleton import COCO_CATEGORY
from tests.command_line import call

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_HERE = "docs/own-data.md"
"""The page that is run from its first command to its last, in a folder with what it says one has."""
NOT_HERE = {
    r"docs/extend\.md \| .*": "tests/test_extend.py runs this page",
    r".* \| (make|pip) .*": "installs packages, or takes minutes",
    r".* \| sharpose predict photo\.jpg": "fetches a detector; test_the_first_minute runs it without one",
    r"docs/deploy\.md \| sharpose export .*": "tests/backends/test_example.py runs both commands of this page",
    r"docs/deploy\.md \| python docs/examples/onnx_numpy\.py .*": "tests/backends/test_example.py runs it",
    r"docs/gpu\.md \| .*": "needs a GPU, or photographs; tests/experiments/test_gpu.py rehearses it",
    r"docs/scale\.md \| (torchrun|srun) .*": "needs several GPUs and COCO",
    r"docs/scale\.md \| sharpose run .* --launcher slurm .*": "needs SLURM and COCO; tests/slurm runs one of its own",
}


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks of commands, fenced or indented, comments and continued lines put right."""
    text = page.read_text(encoding="utf-8")
    blocks = [content for language, content in FENCED.findall(text) if language in ("", "sh", "bash")]
    rest = FENCED.sub("", text)
    blocks.append("\n".join(line[4:] for line in re.findall(r"^ {4}\S.*$(?:\n {6,}\S.*$)*", rest, re.MULTILINE)))
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#\s.*$", "", line).strip() for line in lines if line.strip()]


EVERY = [(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in commands(page)]


def test_every_command_is_run_or_has_a_reason() -> None:
    assert len(EVERY) > 25
    loose = [
        f"{page} | {command}"
        for page, command in EVERY
        if page != RUN_HERE and not any(re.fullmatch(known, f"{page} | {command}") for known in NOT_HERE)
    ]
    assert not loose
    for known in NOT_HERE:
        assert any(re.fullmatch(known, f"{page} | {command}") for page, command in EVERY), known


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own: photographs with annotations, the page's YAML; a few people stand for generated sets."""
    (tmp_path / "photographs").mkdir()
    Image.new("RGB", (64, 96), (90, 120, 90)).save(tmp_path / "photographs" / "a.jpg")
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [4, 4, 50, 80]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 96}],
        "annotations": [{**person, "keypoints": [20, 30, 2] * 17}],
        "categories": [COCO_CATEGORY],
    }
    (tmp_path / "person_keypoints.json").write_text(json.dumps(content))
    found = FENCED.findall((ROOT / RUN_HERE).read_text(encoding="utf-8"))
    (tmp_path / "mine.yaml").write_text(next(text for language, text in found if language == "yaml"))
    few = {name: replace(people, images=6) for name, people in cache.NAMED_SETS.items()}
    monkeypatch.setattr(cache, "NAMED_SETS", few)
    monkeypatch.setattr("sharpose.data.locate.NAMED_SETS", few)
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Store.__init__, "__defaults__", (tmp_path / "results",))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_own_experiment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for command in commands(ROOT / RUN_HERE):
        program, *words = shlex.split(command)
        assert program == "sharpose"
        code, out, err = call(capsys, *words)
        assert code == 0, f"{command}: {err}"
        said[" ".join(words[:2])] = out
    assert re.search(r"sharpose-nano-128x96 +done", said["runs runs/mine"]) and "│" in said["runs runs/mine"]
    assert "AP" in said["evaluate --model"]
    # two rows, whose multiply-adds were measured just now
    assert all(re.search(rf"^ *{label} .*\d\.\d\d", said["run mine.yaml"], re.MULTILINE) for label in ("0.2", "0.4"))
    assert "stored   mine 0.2: cost" in said["status mine.yaml"]


def test_the_first_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """README's first command, with the place of the person given, as the detector would have to be fetched."""
    Image.open(ROOT / "results" / "examples" / "person.png").convert("RGB").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    (command,) = [line for line in commands(ROOT / "README.md") if line.startswith("sharpose predict")]
    code, out, err = call(capsys, *shlex.split(command)[1:], "--whole-picture")
    assert code == 0, err
    assert "poses/keypoints.json: 1 people, 1 drawn" in out and (tmp_path / "poses" / "photo.pose.jpg").is_file()


def mentions() -> Iterator[tuple[str, list[str]]]:
    """Every `sharpose …` of a code span or a block, as words."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        spans = re.findall(r"(?<!`)`(sharpose [^`\n]+)`", FENCED.sub("", text))
        for line in [*spans, *(line for line in commands(page) if line.startswith("sharpose "))]:
            yield f"{page.name}: {line}", shlex.split(line)[1:]


def test_every_command_and_option_that_is_named_is_there() -> None:
    for group in cli.GROUPS:
        __import__(f"sharpose.cli.{group}")
    root: Any = typer.main.get_command(cli.app.app)
    found = list(mentions())
    assert len(found) > 40
    for place, words in found:
        command, rest = root, list(words)
        if rest[:1] == ["--plugin"]:
            rest = rest[2:]
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), place
        asked = {word.partition("=")[0] for word in rest if re.match(r"--[a-z]", word)}
        assert asked <= known | {"--help"}, place


def named(pattern: str) -> set[str]:
    """What follows the pattern in code spans and blocks of all pages."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return {word for text in texts for word in re.findall(rf"(?:`|^ *){pattern}", text, re.MULTILINE)}


def test_every_target_and_module_that_is_named_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE)
    lists = " ".join(re.findall(r"^(?:TABLES|OWN) := (.*)$", makefile, re.MULTILINE)).split()
    targets, modules = named(r"make ([a-z][\w-]*)"), named(r"python -m ([a-z][\w.]*)")
    assert len(targets) > 20 and targets <= {*rules, *lists}
    # `build` is a tool of its own
    assert len(modules) > 8 and all(find_spec(module) for module in modules - {"build"})


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table's lines."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_short_table_of_the_readme_is_what_its_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("Effect of α, SHaRPose-Base 256×192") :]
    header, _, *short = rows(section[: section.index("`make table1`")])
    assert header == [
        "α",
        "AP, generated people",
        "AP (paper, COCO)",
        "GFLOPs",
        "GFLOPs (paper)",
        "speed relative to α = 1",
    ]
    code, out, err = call(capsys, "table", "6a", "--format", "markdown")
    assert code == 0, err
    titles, _, *printed = rows(out)
    names = {"AP (nano tier)": 1, "AP (paper)": 2, "GFLOPs (multiply-adds)": 3, "GFLOPs (paper)": 4}
    for line in short:
        # notes are marked by superscripts
        (long,) = [one for one in printed if re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹ ]+$", "", one[0]) == line[0]]
        for title, place in names.items():
            assert long[titles.index(title)].partition(" ")[0] == line[place], (line[0], title)
    # the speeds are those of the machine that most are stored of, wherever this runs
    (table,) = for_files(build_tables(["6a"]), ["6a"])
    speeds = table.frame.set_index("label")["speed_relative"]
    assert {line[0]: line[5] for line in short} == {
        line[0]: "–" if speeds.isna()[line[0]] else f"{speeds[line[0]]:.2f}" for line in short
    }
