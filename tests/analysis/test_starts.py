"""Crops and starts, from the manifests of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.tables.manifests import RANDOM, read_training

START = {"model": "pose", "steps": 100, "recipe": {"batch_size": 10}, "init": None}


def trained(folder: Path, name: str, init: dict[str, Any] | None) -> Path:
    path = folder / f"{name}.safetensors"
    made = {"model": name, "steps": 20, "recipe": {"batch_size": 10}, "init": init}
    path.with_suffix(".json").write_text(json.dumps(made))
    return path


def test_crops_in_all_hold_those_of_every_start(tmp_path: Path) -> None:
    init = {"file": "start.safetensors", "manifest": {**START, "init": {"manifest": START}}}
    assert read_training(trained(tmp_path, "a", init)).crops == 200 + 2000
    silent = tmp_path / "b.safetensors"
    silent.with_suffix(".json").write_text('{"model": "pose"}')
    assert (read_training(silent).crops, read_training(silent).start) == (0, RANDOM)
