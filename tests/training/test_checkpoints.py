"""Checkpoints: what is damaged is named and skipped, what cannot be written leaves the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharpose.errors import RunFailed
from sharpose.training import checkpoints
from sharpose.training.checkpoints import damage, latest_checkpoint, load_checkpoint, save_checkpoint


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
