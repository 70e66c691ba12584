"""Checkpoints that survive: a folder per step, manifest last, the one before kept until the next verifies."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sharpose.errors import RunFailed
from sharpose.files import sha256_of, sync_folder, write_json

WEIGHTS, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.pt", "state.json", "manifest.json"


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> Path:
    """Write `folder/step-N`, then remove all but it and the one before. Raises RunFailed when it cannot be written."""
    target = folder / f"step-{state['step']:09d}"
    temporary = folder / f".{target.name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), temporary / WEIGHTS)
        torch.save(optimizer.state_dict(), temporary / OPTIMIZER)
        write_json(temporary / STATE, state)
        digests = {name: sha256_of(temporary / name) for name in (WEIGHTS, OPTIMIZER, STATE)}
        for name in digests:
            with (temporary / name).open("rb") as file:
                os.fsync(file.fileno())
        write_json(temporary / MANIFEST, digests)
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunFailed(
            f"{target}: not written ({error.strerror or error}); the checkpoint before it is kept"
        ) from error
    if problem := damage(target):
        raise RunFailed(f"{target}: the checkpoint does not read back ({problem}); the one before it is kept")
    for old in sorted(folder.glob("step-*"))[:-2]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        digests = json.loads((checkpoint / MANIFEST).read_text())
        changed = [name for name, digest in digests.items() if sha256_of(checkpoint / name) != digest]
    except (OSError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    if changed:
        return "changed since it was written: " + ", ".join(changed)
    missing = {WEIGHTS, OPTIMIZER, STATE} - set(digests)
    return f"the manifest lacks {', '.join(sorted(missing))}" if missing else None


def latest_checkpoint(folder: Path, warn: Any = print) -> Path | None:
    """The newest checkpoint that verifies; each damaged one is named through `warn`."""
    for checkpoint in sorted(folder.glob("step-*"), reverse=True):
        problem = damage(checkpoint)
        if problem is None:
            return checkpoint
        warn(f"{checkpoint}: skipped ({problem})")
    return None


def load_checkpoint(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore model and optimiser, return the state. No code from the file is ever run."""
    model.load_state_dict(load_file(checkpoint / WEIGHTS))
    optimizer.load_state_dict(torch.load(checkpoint / OPTIMIZER, weights_only=True, map_location="cpu"))
    return json.loads((checkpoint / STATE).read_text())
