"""Trained weights that ship: half-precision safetensors beside a manifest that says how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sharpose.errors import InputError, RunFailed, first_line
from sharpose.files import sha256_of, why_not_written, write_atomically, write_json


def save_weights(model: nn.Module, path: Path, facts: Mapping[str, Any]) -> None:
    """`path` (.safetensors, floats in half precision), then its manifest: `facts` and the sha256 of the weights."""
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_tensors(tensors, path, facts)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, facts: Mapping[str, Any]) -> None:
    """`tensors` as they are into `path` (.safetensors), then its manifest: `facts` and the sha256 of the weights.

    Raises RunFailed when they cannot be written.
    """
    # two names may share memory, which safetensors refuses
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        write_atomically(path, lambda temporary: save_file(own, temporary))
        write_json(path.with_suffix(".json"), {"sha256": sha256_of(path), **facts})
    # safetensors has an error class of its own for a full disk
    except (OSError, SafetensorError) as error:
        raise RunFailed(f"{path}: not written ({why_not_written(error)}); free space or allow writing there") from error


def load_weights(model: nn.Module, path: Path) -> str:
    """Load `path` into `model`, exactly, and return its sha256.

    Raises InputError when the file is missing, damaged, not what its manifest says, or of another model.
    """
    try:
        model.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise InputError(f"{path}: weights of another model ({str(error).splitlines()[-1].strip()})") from error
    return sha256_of(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file, floats in single precision; checked against the manifest where there is one.

    Raises InputError when the file is missing, damaged, or not what its manifest says.
    """
    try:
        digest = sha256_of(path)
        tensors = load_file(path)
    # safetensors raises its own error class, which is a plain Exception
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as weights ({first_line(error)}); give a .safetensors file"
        ) from error
    manifest = path.with_suffix(".json")
    if manifest.exists() and recorded_digest(manifest) != digest:
        raise InputError(f"{path}: not the file that {manifest.name} describes; restore both from the same commit")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def recorded_digest(manifest: Path) -> str | None:
    """The sha256 that a manifest gives its weights. Raises InputError when the manifest is damaged."""
    try:
        return json.loads(manifest.read_text(encoding="utf-8")).get("sha256")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{manifest}: the weights' manifest cannot be read ({first_line(error)}); restore it"
        ) from error
