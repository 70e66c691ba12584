"""An installed wheel in an empty folder, as an engineer has it: with weights inside, and no checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import sharpose, sys
from pathlib import Path
from sharpose import Pose
assert Path(sharpose.__file__).is_relative_to(sys.argv[1]), sharpose.__file__
pose = Pose(whole_picture=True)
assert pose.weights.path.is_relative_to(sys.argv[1]), pose.weights.path
(person,) = pose("photo.jpg")
sparse = Pose("sharpose-nano-128x96", whole_picture=True)
assert sparse.weights.path.is_relative_to(sys.argv[1]), sparse.weights.path
(again,) = sparse("photo.jpg")
print(person.points.shape, person.refined, again.refined, 0 < again.quality < 1)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # a build leaves folders behind, so a copy of what it needs is built
    for name in tracked.split("\0"):
        if name.startswith(("sharpose/", "results/weights/")) or ("/" not in name and name):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # by way of a source distribution, as releases are made
    sources = [sys.executable, "setup.py", "--quiet", "sdist", "--formats", "tar", "--dist-dir", "../sources"]
    subprocess.run(sources, cwd=folder / "source", check=True, capture_output=True)
    (archive,) = (folder / "sources").iterdir()
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", str(archive)]
    subprocess.run(build, cwd=folder, check=True)
    (wheel,) = (folder / "wheels").glob("sharpose-*.whl")
    assert wheel.stat().st_size < 40_000_000
    subprocess.run([*pip, "install", "--no-deps", "--target", "site", str(wheel)], cwd=folder, check=True)
    (folder / "empty").mkdir()
    Image.open(ROOT / "results" / "examples" / "person.png").convert("RGB").save(folder / "empty" / "photo.jpg")
    return folder


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "SHARPOSE_CACHE": str(installed / "cache")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=installed / "empty", env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_three_lines_of_python(installed: Path) -> None:
    done = run(installed, "-c", PROGRAM, str(installed / "site"))
    assert done.returncode == 0, done.stderr
    # a model of one stage by default; SHaRPose says whether it looked again, and how good its guess was
    assert re.fullmatch(r"\(17, 2\) None (True|False) True\n", done.stdout)


@pytest.mark.slow
def test_the_command(installed: Path) -> None:
    done = run(installed, "-m", "sharpose.cli", "predict", "photo.jpg", "--whole-picture")
    assert done.returncode == 0, done.stderr
    assert "poses/keypoints.json: 1 people, 1 drawn" in done.stdout and "ms per picture" in done.stdout
    rows = json.loads((installed / "empty" / "poses" / "keypoints.json").read_text())
    assert len(rows) == 1 and (installed / "empty" / "poses" / "photo.pose.jpg").is_file()


@pytest.mark.slow
def test_weights_that_are_not_inside_are_one_line(installed: Path) -> None:
    done = run(installed, "-m", "sharpose.cli", "predict", "photo.jpg", "--model", "photos/vitpose-nano-128x96")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "no hub repository is known" in done.stderr and str(installed / "cache") in done.stderr
