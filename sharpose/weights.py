"""Trained weights that ship: half-precision safetensors beside a manifest that says how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sharpose.errors import InputError
from sharpose.files import sha256_of, write_atomically, write_json


def save_weights(model: nn.Module, path: Path, facts: Mapping[str, Any]) -> None:
    """`path` (.safetensors, floats in half precision), then its manifest: `facts` and the sha256 of the weights."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in model.state_dict().items()
    }
    write_atomically(path, lambda temporary: save_file(tensors, temporary))
    write_json(path.with_suffix(".json"), {"sha256": sha256_of(path), **facts})


def load_weights(model: nn.Module, path: Path) -> str:
    """Load `path` into `model`, exactly, and return its sha256.

    Raises InputError when the file is missing, damaged, not what its manifest says, or of another model.
    """
    try:
        digest = sha256_of(path)
        tensors = load_file(path)
    # safetensors raises its own error class, which is a plain Exception
    except Exception as error:
        raise InputError(f"{path}: cannot be read as weights ({error}); give a .safetensors file") from error
    manifest = path.with_suffix(".json")
    if manifest.exists() and json.loads(manifest.read_text()).get("sha256") != digest:
        raise InputError(f"{path}: not the file that {manifest.name} describes; restore both from the same commit")
    state = {name: value.to(torch.float32) if value.is_floating_point() else value for name, value in tensors.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: weights of another model ({str(error).splitlines()[-1].strip()})") from error
    return digest
