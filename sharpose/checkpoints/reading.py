"""Reading checkpoints that others made: tensors alone, under a size cap, and never any code."""

from __future__ import annotations

import argparse
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sharpose.errors import InputError, first_line

MAX_BYTES = 8 * 2**30
PICKLED = (".pth", ".pt", ".bin", ".ckpt")
# where training programs put the state dict, looked for at every level
WRAPPERS = ("state_dict", "model", "module")


def read_checkpoint(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """The state dict in a .safetensors or PyTorch file, without wrappers and without `module.` before its names.

    Raises InputError for a file that is missing, too large (packed or unpacked), damaged, of another kind, or that
    holds anything but plain values and tensors: such a file is refused, nothing in it is executed.
    """
    check_size(path, max_bytes)
    content = load_safetensors(path) if path.suffix == ".safetensors" else load_pickled(path)
    state = unwrap(path, content)
    # a view can stand for many more values than are stored
    if sum(value.numel() * value.element_size() for value in state.values()) > max_bytes:
        raise InputError(f"{path}: its tensors unfold to more than {max_bytes:,} bytes; raise --max-gigabytes")
    return state


def check_size(path: Path, max_bytes: int) -> None:
    """Raise InputError unless `path` is a file of a known kind below the cap, also once unpacked."""
    if path.suffix not in (".safetensors", *PICKLED):
        raise InputError(f"{path}: must be a .safetensors file or one of {', '.join(PICKLED)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    size = path.stat().st_size
    if path.suffix != ".safetensors":
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    size = max(size, sum(entry.file_size for entry in archive.infolist()))
        # a damaged directory of an archive shows in many ways
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise InputError(f"{path}: damaged ({error}); fetch it again") from None
    if size > max_bytes:
        raise InputError(f"{path}: {size:,} bytes, above the cap of {max_bytes:,}; raise --max-gigabytes")


def load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    # safetensors raises its own error class, which is a plain Exception
    except Exception as error:
        raise InputError(f"{path}: damaged or not safetensors ({first_line(error)}); fetch it again") from error


def load_pickled(path: Path) -> Any:
    """The content of a PyTorch file, by the reader that builds tensors and plain values alone."""
    try:
        # a bag of settings that MAE and DeiT store beside the weights
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # about pickles of a kind that torch does not write; whether they can be read is told below
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line or "nsupported" in line), "")
        raise InputError(
            f"{path}: holds more than tensors, or is damaged; it was not executed. {reason.strip()[:200]} "
            "Store the state dict alone, as safetensors, where you trust its origin"
        ) from error
    # the reader stumbles over damaged files in many ways
    except Exception as error:
        raise InputError(f"{path}: damaged or not a PyTorch file ({first_line(error)}); fetch it again") from error


def unwrap(path: Path, content: Any) -> dict[str, Tensor]:
    """The innermost state dict of a checkpoint."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: holds no state dict (looked under {', '.join(WRAPPERS)} too)")
    odd = [str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if odd:
        raise InputError(f"{path}: its state dict holds things that are no named tensors: {', '.join(odd[:5])}")
    return {name.removeprefix("module."): value for name, value in content.items()}
