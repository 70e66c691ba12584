"""Trained weights that ship: safetensors in half precision, or 8 bits, beside a manifest that says how they were made.

In 8 bits the weights of linear and convolutional layers are int8, each output channel with a scale of its own under
the weight's name and `.int8_scale`; everything else, a small part, stays in half precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sharpose.runtime.errors import InputError, RunFailed, first_line
from sharpose.runtime.files import (
    MAX_MANIFEST_BYTES,
    check_regular,
    read_text,
    sha256_of,
    why_not_written,
    write_atomically,
    write_json,
)

Bits = Literal[8, 16]
SCALE = ".int8_scale"


def save_weights(model: nn.Module, path: Path, facts: Mapping[str, Any], bits: Bits = 16) -> None:
    """Write `path` (.safetensors), then its manifest: `facts` and the sha256 of the weights.

    Floats are in half precision or, with `bits` = 8, in 8 bits. Raises RunFailed when they cannot be written.
    """
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    if bits == 8:
        tensors |= in_8_bits(model)
        facts = {"bits": 8, **facts}
    save_tensors(tensors, path, facts)


def in_8_bits(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of linear and convolutional layers as int8, and their scales (float32, broadcastable)."""
    tensors = dict[str, Tensor]()
    for prefix, layer in model.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            weight = layer.weight.detach().float()
            # a transposed convolution has its output channels second
            out = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
            others = [axis for axis in range(weight.ndim) if axis != out]
            scale = weight.abs().amax(dim=others, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
            name = f"{prefix}.weight"
            tensors |= {name: (weight / scale).round().clamp(-127, 127).to(torch.int8), name + SCALE: scale}
    return tensors


def save_tensors(tensors: Mapping[str, Tensor], path: Path, facts: Mapping[str, Any]) -> None:
    """Write `tensors` as they are into `path` (.safetensors), then its manifest: `facts` and the sha256 of the weights.

    Raises RunFailed when they cannot be written, InputError where a JSON file of another kind has the manifest's name.
    """
    check_manifest_place(path)
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
    tensors = read_weights(path)
    check_fractions(tensors, model, path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path}: weights of another model ({str(error).splitlines()[-1].strip()})") from error
    return sha256_of(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, floats in single precision; checked against the manifest where there is one.

    A JSON file beside it that gives no sha256 is somebody else's. Raises InputError when the file is missing, damaged,
    not what its manifest says, or holds values that are not finite.
    """
    try:
        check_regular(path)
        digest = sha256_of(path)
        tensors = load_file(path)
    # safetensors raises its own error class, which is a plain Exception
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as weights ({first_line(error)}); give a .safetensors file"
        ) from error
    manifest = path.with_suffix(".json")
    recorded = recorded_digest(manifest) if manifest.is_file() else None
    if recorded not in (None, digest):
        raise InputError(f"{path}: not the file that {manifest.name} describes; restore both from the same commit")
    check_finite(tensors, path)
    return {name: restored(name, value, tensors) for name, value in tensors.items() if not name.endswith(SCALE)}


def restored(name: str, value: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return a stored tensor as the network has it: floats in single precision, int8 by its scales."""
    if name + SCALE in tensors:
        return value.float() * tensors[name + SCALE].float()
    return value.float() if value.is_floating_point() else value


def check_finite(tensors: Mapping[str, Tensor], source: object) -> None:
    """Raise InputError naming the tensors of `source` that hold NaN or infinity."""
    floats = {name: value for name, value in tensors.items() if value.is_floating_point()}
    broken = [name for name, value in floats.items() if not torch.isfinite(value.float()).all()]
    if broken:
        more = f" and {len(broken) - 3} others" if len(broken) > 3 else ""
        raise InputError(f"{source}: {', '.join(broken[:3])}{more}: values that are not finite; the training diverged")


def check_fractions(tensors: Mapping[str, Tensor], model: nn.Module, source: object) -> None:
    """Raise InputError where `source` has whole numbers for parameters that are fractions, as quantised files have."""
    own = {name for name, value in model.state_dict().items() if value.is_floating_point()}
    whole = [name for name in tensors if name in own and not tensors[name].is_floating_point()]
    if whole:
        kind = str(tensors[whole[0]].dtype).removeprefix("torch.")
        raise InputError(f"{source}: {whole[0]} is {kind}, and a fraction in the model; store weights as floats")


def check_manifest_place(path: Path) -> None:
    """Raise InputError where the manifest of weights at `path` would take the place of a file of another kind."""
    manifest = path.with_suffix(".json")
    if manifest.is_file() and recorded_digest(manifest) is None:
        raise InputError(
            f"{manifest}: is no manifest of weights, and would be overwritten; move it, or name the weights otherwise"
        )


def recorded_digest(manifest: Path) -> str | None:
    """Return the sha256 that a manifest gives its weights; None where it is another file.

    Raises InputError when it is damaged.
    """
    text = read_text(manifest, MAX_MANIFEST_BYTES, "the weights' manifest")
    try:
        content = json.loads(text)
        digest = content.get("sha256") if isinstance(content, dict) else None
        return digest if isinstance(digest, str) else None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{manifest}: the weights' manifest cannot be read ({first_line(error)}); restore it"
        ) from error
