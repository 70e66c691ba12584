"""Folders that cannot hold checkpoints: full, read-only, taken, too small; what was good before stays."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sharpose.runtime.errors import InputError, RunFailed
from sharpose.training import checkpoints
from sharpose.training.checkpoints import damage, latest_checkpoint, load_checkpoint, prepared, save_checkpoint
from sharpose.weights.files import save_weights

Parts = tuple[torch.nn.Module, torch.optim.Optimizer]


@pytest.fixture
def parts() -> Parts:
    model = torch.nn.Linear(200, 200)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 200)).sum().backward()
    optimizer.step()
    return model, optimizer


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size` bytes, as on a disk that runs full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


# the weights take 160 kB, the moments twice that, so the limits strike in the first file and in the second
@pytest.mark.parametrize("limit", [1_000, 100_000, 250_000])
def test_a_full_disk_is_named_and_the_last_good_checkpoint_kept(tmp_path: Path, parts: Parts, limit: int) -> None:
    first = save_checkpoint(tmp_path, *parts, {"step": 1})
    with (
        files_up_to(limit),
        pytest.raises(RunFailed, match=r"step-000000002: not written \(File too large.*before it is kept"),
    ):
        save_checkpoint(tmp_path, *parts, {"step": 2})
    assert list(tmp_path.iterdir()) == [first] and damage(first) is None


def test_the_last_weights_say_so_too(tmp_path: Path, parts: Parts) -> None:
    path = tmp_path / "model.safetensors"
    with files_up_to(10_000), pytest.raises(RunFailed, match=r"model\.safetensors: not written .*File too large"):
        save_weights(parts[0], path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_named_before_the_first_step(tmp_path: Path, parts: Parts) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o555)
    for parent in [*list(tmp_path.parents)[:3], tmp_path]:
        with contextlib.suppress(PermissionError):
            parent.chmod(0o755)
    with (
        as_nobody(),
        pytest.raises(InputError, match=r"run: cannot be written \(Permission denied\)"),
        prepared(folder, parts[0]),
    ):
        pass


def test_a_checkpoint_into_a_read_only_folder_is_named(tmp_path: Path, parts: Parts) -> None:
    first = save_checkpoint(tmp_path, *parts, {"step": 1})
    tmp_path.chmod(0o555)
    try:
        with as_nobody(), pytest.raises(RunFailed, match=r"not written .*Permission denied.*before it is kept"):
            save_checkpoint(tmp_path, *parts, {"step": 2})
    finally:
        tmp_path.chmod(0o755)
    assert damage(first) is None


def test_too_little_space_is_said_before_the_first_step(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=17 * 2**20)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: free)
    # three checkpoints of three times 160,800 bytes, and 16 MiB of margin: 17.4 MiB
    with (
        pytest.raises(InputError, match=r"17 MiB free, and the checkpoints of this model take 17;"),
        prepared(tmp_path, parts[0]),
    ):
        pass
    # a run that already has its checkpoints needs no second room for them
    for step in (1, 2):
        save_checkpoint(tmp_path, *parts, {"step": step})
    with prepared(tmp_path, parts[0]):
        pass


def test_one_training_per_folder(tmp_path: Path, parts: Parts) -> None:
    program = f"""
import sys
from pathlib import Path
import torch
from sharpose.training.checkpoints import prepared
with prepared(Path({str(tmp_path)!r}), torch.nn.Linear(1, 1)):
    print("mine", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None and other.stdout is not None
    try:
        assert other.stdout.readline() == "mine\n"
        with pytest.raises(InputError, match="another process trains into it"), prepared(tmp_path, parts[0]):
            pass
    finally:
        other.stdin.close()
        other.wait(600)
    with prepared(tmp_path, parts[0]):
        pass


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / ".step-000000009.77.tmp").mkdir()
    with prepared(tmp_path, parts[0]):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock"]


def test_going_on_from_the_one_before_replaces_the_damaged_one(tmp_path: Path, parts: Parts) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, *parts, {"step": step})
    (tmp_path / "step-000000002" / "state.json").write_text("{")
    assert latest_checkpoint(tmp_path) == tmp_path / "step-000000001"
    save_checkpoint(tmp_path, *parts, {"step": 2})
    assert damage(tmp_path / "step-000000002") is None
    (tmp_path / "step-000000009").mkdir()
    save_checkpoint(tmp_path, *parts, {"step": 3})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000002", "step-000000003"]


def test_a_sound_checkpoint_is_not_written_again(tmp_path: Path, parts: Parts) -> None:
    first = save_checkpoint(tmp_path, *parts, {"step": 1})
    before = first.stat().st_ino
    assert save_checkpoint(tmp_path, *parts, {"step": 1}) == first and first.stat().st_ino == before


def test_a_checkpoint_of_another_model_is_one_line(tmp_path: Path, parts: Parts) -> None:
    path = save_checkpoint(tmp_path, *parts, {"step": 1})
    other = torch.nn.Linear(3, 3)
    with pytest.raises(InputError, match=r"not a checkpoint of this model") as caught:
        load_checkpoint(path, other, torch.optim.AdamW(other.parameters()))
    assert "\n" not in str(caught.value)
