"""The cache: found again, repaired when faulty, whole or absent after a kill, and usable without torch."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sharpose.data import cache
from sharpose.data.mannequin import PARAMETERS, MannequinParameters, SceneParameters
from sharpose.data.pictures import pictures_sha256
from sharpose.runtime.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def forbid(done: int, total: int) -> None:
    raise AssertionError("generated again")


def test_a_set_is_made_once() -> None:
    wanted = cache.MannequinSet("x", 3, 0)
    assert cache.ensure(wanted) == cache.ensure(wanted, progress=forbid) == wanted
    assert cache.find_fault(wanted) is None


def test_different_requests_lie_in_different_folders() -> None:
    requests = [
        cache.MannequinSet("x", 3, 0),
        cache.MannequinSet("x", 4, 0),
        cache.MannequinSet("x", 3, 1),
        cache.MannequinSet("y", 3, 0),
        cache.MannequinSet("x", 3, 0, MannequinParameters(difficulty=0.5)),
        cache.MannequinSet("x", 3, 0, SceneParameters()),
    ]
    assert len({request.folder for request in requests}) == len(requests)
    whole, real = MannequinParameters(difficulty=0), MannequinParameters(difficulty=0.0)
    assert cache.MannequinSet("x", 3, 0, whole).folder == cache.MannequinSet("x", 3, 0, real).folder


@pytest.mark.parametrize("damage", ["annotation", "image", "other image", "manifest"])
def test_a_damaged_copy_is_made_anew(damage: str) -> None:
    wanted = cache.MannequinSet("x", 3, 0)
    cache.ensure(wanted)
    whole, manifest = wanted.annotations_file.read_bytes(), (wanted.folder / "manifest.json").read_bytes()
    if damage == "annotation":
        wanted.annotations_file.write_bytes(whole[:-40])
    elif damage == "image":
        (wanted.images_folder / "000002.jpg").unlink()
    elif damage == "other image":
        (wanted.images_folder / "000002.jpg").write_bytes((wanted.images_folder / "000001.jpg").read_bytes())
    else:
        (wanted.folder / "manifest.json").write_text("{")
    assert cache.find_fault(wanted) is not None
    pictures = json.loads(manifest)["sha256"]["images"]
    cache.ensure(wanted)
    assert cache.find_fault(wanted) is None and wanted.annotations_file.read_bytes() == whole
    assert pictures_sha256(sorted(wanted.images_folder.glob("*.jpg"))) == pictures


def test_without_a_home_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SHARPOSE_CACHE")
    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(InputError, match="no home folder; set SHARPOSE_CACHE"):
        cache.cache_dir()


def kill_self(done: int, total: int) -> None:
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def generate_and_die(folder: str) -> None:
    os.environ["SHARPOSE_CACHE"] = folder
    cache.ensure(cache.MannequinSet("x", 4, 0), progress=kill_self)


def test_a_killed_run_leaves_no_half_set(own_cache: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=generate_and_die, args=(str(own_cache),))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    wanted = cache.MannequinSet("x", 4, 0)
    assert not wanted.folder.exists()
    cache.ensure(wanted)
    assert cache.find_fault(wanted) is None
    assert not list(wanted.folder.parent.glob(".*/"))


def test_named_sets() -> None:
    parts = ("train", "val", "test", "tiny")
    assert list(cache.NAMED_SETS) == [f"{name}-{part}" for name in ("mannequin", "mannequin2") for part in parts]
    for version, name in ((1, "mannequin"), (2, "mannequin2")):
        sets = [cache.NAMED_SETS[f"{name}-{part}"] for part in parts]
        assert len({(wanted.split, wanted.seed) for wanted in sets}) == 4
        assert {wanted.parameters for wanted in sets} == {PARAMETERS[version]()}
        assert [wanted.images for wanted in sets] == [23_400, 520, 520, 40]
    assert len({wanted.folder for wanted in cache.NAMED_SETS.values()}) == 8
    with pytest.raises(InputError, match="mannequin-tiny"):
        cache.named_set("mannequin-huge")


def test_the_tiny_set_is_ready_in_seconds() -> None:
    tiny = cache.ensure_named("mannequin-tiny")
    assert tiny.annotations_file.is_file() and tiny.detections_file.is_file()
    assert len(list(tiny.images_folder.glob("*.jpg"))) == tiny.images == 40


def test_generating_needs_no_torch() -> None:
    code = "import sys, sharpose.data.cache, sharpose.data.mannequin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
