"""Every command of README, CONTRIBUTING and docs/ either runs here as it is written, or is listed with a reason."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from PIL import Image
from submitit.slurm.slurm import SlurmExecutor
from torch.distributed.run import get_args_parser

from analysis.tables.raw import for_files
from analysis.tables.tables import build_tables
from results.store import Store
from sharpose import cli
from sharpose.data import cache
from sharpose.inference.pose import whole
from sharpose.pose.skeleton import COCO_CATEGORY
from sharpose.training.tracking import PACKAGES
from tests.command_line import call

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_HERE = "docs/own-data.md"
"""The page that is run from its first command to its last, in a folder with what it says one has."""
NOT_HERE = {
    r"docs/extend\.md \| .*": "tests/test_extend.py runs this page",
    r".* \| (make|pip) .*": "installs packages, or takes minutes; what make would do is looked at below",
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


def mentions(program: str) -> Iterator[tuple[str, list[str]]]:
    """Every call of a program in a code span or a block, as the words after it; `-m sharpose.cli` is `sharpose`."""
    for page in PAGES:
        spans = re.findall(r"(?<!`)`([^`\n]+)`", FENCED.sub("", page.read_text(encoding="utf-8")))
        for line in (part for one in [*spans, *commands(page)] for part in one.split(" && ")):
            found = re.search(
                rf"^(?:\w+=\S+ )*(?:srun )?{program} (.*)", line.replace("python3 -m sharpose.cli", "sharpose")
            )
            if found:
                yield f"{page.name}: {line}", shlex.split(found[1])


def test_every_command_and_option_that_is_named_is_there() -> None:
    for group in cli.GROUPS:
        __import__(f"sharpose.cli.{group}")
    root: Any = typer.main.get_command(cli.app.app)
    found = list(mentions("sharpose"))
    found += [(place, words[words.index("sharpose.cli") + 1 :]) for place, words in mentions("torchrun")]
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
        slurm = {each.partition("=")[0] for option, each in itertools.pairwise(rest) if option == "--slurm"}
        assert slurm <= SlurmExecutor._valid_parameters(), place


def would_make(*words: str) -> tuple[int, str]:
    """The exit code and the commands of `make` with these words, were everything to be made again; runs nothing."""
    outer = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    asked = ["make", "--dry-run", "--always-make", "--no-print-directory", *words]
    done = subprocess.run(asked, cwd=ROOT, env=outer, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_make_knows_every_target_and_variable() -> None:
    found = list(mentions("make"))
    assert len(found) > 30 and any("=" in word for _, words in found for word in words)
    for place, words in found:
        code, printed = would_make(*words)
        assert code == 0, place
        assert all(word.partition("=")[2] in printed for word in words if "=" in word), place
    # what this would say of a variable that no command takes
    code, printed = would_make("gpu", "BUDGETS=17m")
    assert code == 0 and "17m" not in printed


def test_what_pip_is_to_install_can_be_asked_for() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    found = list(mentions("pip install"))
    assert len(found) > 4
    for place, words in found:
        for word in (word for word in words if not word.startswith("-")):
            asked = Requirement(re.sub(r"^\.(?=\[|$)", "sharpose", word))
            # NAME stands for each tracker
            wanted = set(PACKAGES) if asked.extras == {"NAME"} else asked.extras
            assert asked.name != "sharpose" or wanted <= known, place
    files = [path for folder in ("sharpose", "experiments", "analysis") for path in (ROOT / folder).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in [*files, ROOT / "Makefile"]]
    named_there = [extra for text in texts for extra in re.findall(r"'(?:sharpose|\.)\[([a-z,]+)\]'", text)]
    assert len(named_there) > 5 and {name for extras in named_there for name in extras.split(",")} <= known


def test_blocks_of_commands_are_a_shells() -> None:
    script = "\n".join(command for _, command in EVERY)
    assert subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=True).stderr == ""
    for place, words in mentions("torchrun"):
        launched = get_args_parser().parse_args([word for word in words if word != "…"])
        assert launched.module and launched.training_script == "sharpose.cli", place
    for _, words in mentions("python3?"):
        if words[0] == "-c":
            compile(words[1], "python -c", "exec")


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are written, by somebody with two pictures; the detector would have to be fetched. See test_extend.py."""
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        Image.open(ROOT / "results" / "examples" / "person.png").convert("RGB").save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sharpose.inference.detector.PersonDetector", lambda device: whole)
    ran: dict[str, dict[str, Any]] = {}
    for page in PAGES:
        names = ran[page.name] = {"x": 5, "y": 5, "w": 60, "h": 120}
        for language, text in FENCED.findall(page.read_text(encoding="utf-8")):
            if language == "python" and page.name != "extend.md":
                exec(compile(text, page, "exec"), names)
    assert ran["README.md"]["result"].heatmaps.shape == (8, 17, 64, 48) and len(ran["README.md"]["person"].points) == 17
    assert len(ran["predict.md"]["people"]) == 1 and ran["predict.md"]["people"][0].score > 0.5


def named(pattern: str) -> set[str]:
    """What follows the pattern in code spans and blocks of all pages."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return {word for text in texts for word in re.findall(rf"(?:`|^ *){pattern}", text, re.MULTILINE)}


def test_every_module_that_is_named_is_there() -> None:
    modules = named(r"python -m ([a-z][\w.]*)")
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
        "AP, photographs",
        "AP, generated people",
        "AP (paper, COCO)",
        "GFLOPs",
        "GFLOPs (paper)",
        "speed relative to α = 1",
    ]
    places = {
        "photos": {"AP, photos-val (photos tier)": 1},
        "nano": {"AP (nano tier)": 2, "AP (paper)": 3, "GFLOPs (multiply-adds)": 4, "GFLOPs (paper)": 5},
    }
    for tier, names in places.items():
        code, out, err = call(capsys, "table", "6a", "--tier", tier, "--format", "markdown")
        assert code == 0, err
        titles, _, *printed = rows(out)
        for line in short:
            # notes are marked by superscripts
            (long,) = [one for one in printed if re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹ ]+$", "", one[0]) == line[0]]
            for title, place in names.items():
                assert long[titles.index(title)].partition(" ")[0] == line[place], (line[0], title)
    # the speeds are published ones of the machine that most are stored of, wherever this runs and has measured
    published = Store(published_only=True)
    (table,) = for_files(build_tables(["6a"], store=published), ["6a"], store=published)
    speeds = table.frame.set_index("label")["speed_relative"]
    assert {line[0]: line[6] for line in short} == {
        line[0]: "–" if speeds.isna()[line[0]] else f"{speeds[line[0]]:.2f}" for line in short
    }
