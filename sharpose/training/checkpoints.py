"""Checkpoints that survive: a folder per step, manifest last, the one before kept until the next verifies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sharpose.runtime.errors import InputError, RunFailed, first_line
from sharpose.runtime.files import sha256_of, sync_folder, why_not_written, write_json
from sharpose.runtime.progress import say

WEIGHTS, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.pt", "state.json", "manifest.json"
PARTS = (WEIGHTS, OPTIMIZER, STATE)
# AdamW keeps two moments beside every weight; two checkpoints stay while a third is written
COPIES_OF_WEIGHTS, CHECKPOINTS_AT_ONCE = 3, 3
MARGIN_BYTES = 16 * 2**20
# a longer number would be no step of any training, but is looked at all the same, to be refused by name
OWN = re.compile(r"step-\d{9,}")
UNFINISHED = re.compile(r"\.step-\d{9,}\.\d+\.tmp")
TOO_MANY_STEPS = 10**9


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> Path:
    """Write `folder/step-N`, then remove all but it and the one before. Raises RunFailed when it cannot be written."""
    target = folder / name_of(state["step"])
    if target.exists() and damage(target) is None:
        return target
    temporary = folder / f".{target.name}.{os.getpid()}.tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        write_parts(temporary, model, optimizer, state)
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
        sync_folder(folder)
    # safetensors and torch raise classes of their own when a disk is full
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunFailed(
            f"{target}: not written ({why_not_written(error)}); the checkpoint before it is kept"
        ) from error
    if problem := damage(target):
        raise RunFailed(f"{target}: the checkpoint does not read back ({problem}); the one before it is kept")
    prune(folder, target)
    return target


def write_parts(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write the files of a checkpoint, synced; their digests last."""
    # convolutions have their channels last while they learn
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    with (folder / OPTIMIZER).open("wb") as file:
        torch.save(optimizer.state_dict(), file)
    write_json(folder / STATE, state)
    digests = {name: sha256_of(folder / name) for name in PARTS}
    for name in PARTS:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    write_json(folder / MANIFEST, digests)
    sync_folder(folder)


def name_of(step: int) -> str:
    """Return the name of a checkpoint's folder."""
    return f"step-{step:09d}"


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder in the order of their steps; what only looks so is the user's own."""
    own = (path for path in folder.glob("step-*") if OWN.fullmatch(path.name) and path.is_dir())
    return sorted(own, key=lambda path: int(path.name.removeprefix("step-")))


def prune(folder: Path, newest: Path) -> None:
    """Keep `newest` and the one before it; what stands after it was damaged, else the run had gone on there."""
    every = checkpoints_in(folder)
    place = every.index(newest)
    for old in every[: max(0, place - 1)] + every[place + 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        digests = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        missing = set(PARTS) - set(digests)
        if missing:
            return f"the manifest lacks {', '.join(sorted(missing))}"
        changed = [name for name in PARTS if sha256_of(checkpoint / name) != digests[name]]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return "changed since it was written: " + ", ".join(changed) if changed else None


def latest_checkpoint(folder: Path, warn: Callable[[str], object] = say) -> Path | None:
    """Return the newest checkpoint that verifies; `warn` names each damaged one, and says if none is left."""
    every = checkpoints_in(folder)
    for checkpoint in reversed(every):
        problem = damage(checkpoint)
        if problem is None:
            return checkpoint
        warn(f"{checkpoint}: skipped ({problem})")
    if every:
        warn(f"{folder}: no checkpoint is sound; training starts from the beginning")
    return None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return the state of a checkpoint, without its tensors. Raises InputError when it is none."""
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{checkpoint / STATE}: cannot be read ({first_line(error)}); remove this checkpoint"
        ) from None
    step = state.get("step") if isinstance(state, dict) else None
    if not isinstance(step, int) or isinstance(step, bool):
        raise InputError(f"{checkpoint / STATE}: is not the state of a training; remove this checkpoint")
    if not 0 <= step < TOO_MANY_STEPS or checkpoint.name != name_of(step):
        raise InputError(f"{checkpoint / STATE}: step = {step} is not the step of its folder; remove this checkpoint")
    return state


def load_checkpoint(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore model and optimiser, return the state. No code from the file is ever run.

    Raises InputError when the tensors are not those of this model and optimiser.
    """
    state = read_state(checkpoint)
    try:
        weights = load_file(checkpoint / WEIGHTS)
        moments = torch.load(checkpoint / OPTIMIZER, weights_only=True, map_location="cpu")
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
    # the readers stumble over what is no checkpoint in many ways
    except Exception as error:
        raise InputError(f"{checkpoint}: not a checkpoint of this model ({first_line(error)}); remove it") from error
    return state


@contextlib.contextmanager
def prepared(folder: Path, model: nn.Module) -> Iterator[None]:
    """Hold `folder` for one training: writable, with room for its checkpoints, and cleared of half-written ones.

    Raises InputError, before any step, when it cannot be used or another process trains into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); name another --out, or allow it") from None
    with lock:
        try:
            # of the process alone: a loader's workers, which outlive a killed training for seconds, do not inherit it
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise InputError(f"{folder}: another process trains into it; wait for it, or name another --out") from None
        for path in folder.glob(".step-*.tmp"):
            if UNFINISHED.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        check_space(folder, model)
        yield


def check_space(folder: Path, model: nn.Module) -> None:
    """Raise InputError unless the checkpoints that a training keeps at once fit into the free space of `folder`."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    needed = weights * COPIES_OF_WEIGHTS * CHECKPOINTS_AT_ONCE + MARGIN_BYTES
    stored = sum(path.stat().st_size for checkpoint in checkpoints_in(folder) for path in checkpoint.glob("*"))
    free = shutil.disk_usage(folder).free
    if free + stored < needed:
        raise InputError(
            f"{folder}: {free / 2**20:,.0f} MiB free, and the checkpoints of this model take {needed / 2**20:,.0f}; "
            "free some, or name another --out"
        )
