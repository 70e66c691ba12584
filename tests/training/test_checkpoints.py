"""Checkpoints: what is damaged is named and skipped, what cannot be written leaves the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharpose.runtime.errors import InputError, RunFailed
from sharpose.training import checkpoints
from sharpose.training.checkpoints import (
    damage,
    latest_checkpoint,
    load_checkpoint,
    prepared,
    read_state,
    save_checkpoint,
    write_parts,
)


@pytest.fixture
def parts() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_round_trip(tmp_path: Path, parts: tuple) -> None:
    model, optimizer = parts
    path = save_checkpoint(tmp_path, model, optimizer, {"step": 7, "note": "x"})
    fresh = torch.nn.Linear(3, 2)
    restored = torch.optim.AdamW(fresh.parameters(), lr=0.9)
    assert load_checkpoint(path, fresh, restored) == {"step": 7, "note": "x"}
    assert torch.equal(fresh.weight, model.weight)
    assert restored.state_dict()["state"][0]["exp_avg"].equal(optimizer.state_dict()["state"][0]["exp_avg"])


def test_the_two_newest_are_kept(tmp_path: Path, parts: tuple) -> None:
    for step in range(4):
        save_checkpoint(tmp_path, *parts, {"step": step})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000002", "step-000000003"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "state.json"])
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_damage_is_found_and_the_one_before_is_used(tmp_path: Path, parts: tuple, name: str, how: str) -> None:
    for step in (1, 2):
        newest = save_checkpoint(tmp_path, *parts, {"step": step})
    victim = newest / name
    content = victim.read_bytes()
    if how == "flip":
        victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "truncate":
        victim.write_bytes(content[: len(content) // 2])
    else:
        victim.unlink()
    said: list[str] = []
    assert latest_checkpoint(tmp_path, said.append) == tmp_path / "step-000000001"
    assert len(said) == 1 and name in said[0]


def test_a_failed_write_leaves_the_one_before(tmp_path: Path, parts: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save_checkpoint(tmp_path, *parts, {"step": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(RunFailed, match="No space left on device"):
        save_checkpoint(tmp_path, *parts, {"step": 2})
    assert list(tmp_path.iterdir()) == [first] and damage(first) is None


def test_only_own_names_are_deleted(tmp_path: Path, parts: tuple) -> None:
    others = ["step-notes", "step-best", "step-000000001.bak", "step-1", "step-000000001-copy", ".step-notes.tmp"]
    for name in others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("kept")
    (tmp_path / "step-000000009").write_text("a file")
    with prepared(tmp_path, parts[0]):
        for step in range(1, 5):
            save_checkpoint(tmp_path, *parts, {"step": step})
    left = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert left == {*others, "step-000000009", "step-000000003", "step-000000004"}
    assert all((tmp_path / name / "mine").read_text() == "kept" for name in others)
    assert latest_checkpoint(tmp_path, pytest.fail) == tmp_path / "step-000000004"


def test_where_no_checkpoint_is_sound_that_is_said(tmp_path: Path, parts: tuple) -> None:
    for step in (1, 2):
        (save_checkpoint(tmp_path, *parts, {"step": step}) / "state.json").write_text("{")
    said: list[str] = []
    assert latest_checkpoint(tmp_path, said.append) is None
    assert len(said) == 3 and said[-1] == f"{tmp_path}: no checkpoint is sound; training starts from the beginning"
    said.clear()
    assert latest_checkpoint(tmp_path / "empty", said.append) is None and said == []


@pytest.mark.parametrize("step", [10**9, -5, 3, True, 7.0, "7", None])
def test_a_step_that_cannot_be_is_refused(tmp_path: Path, parts: tuple, step: object) -> None:
    folder = tmp_path / "step-000000007"
    folder.mkdir()
    write_parts(folder, *parts, {"step": step})
    assert latest_checkpoint(tmp_path, pytest.fail) == folder
    with pytest.raises(InputError, match=r"state\.json: .*remove this checkpoint"):
        read_state(folder)


def test_more_steps_than_any_training_has_are_refused(tmp_path: Path, parts: tuple) -> None:
    save_checkpoint(tmp_path, *parts, {"step": 7})
    newest = save_checkpoint(tmp_path, *parts, {"step": 10**9})
    assert latest_checkpoint(tmp_path, pytest.fail) == newest
    with pytest.raises(InputError, match="step = 1000000000 is not"):
        read_state(newest)
