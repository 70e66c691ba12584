"""Reading checkpoints that others made: tensors alone, under a size cap, and never any code."""

from __future__ import annotations

import argparse
import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.files import check_regular
from sharpose.runtime.progress import note
from sharpose.weights.files import check_finite

MAX_BYTES = 8 * 2**30
# where training programs put the state dict; of several the first of these is taken
WRAPPERS = ("state_dict", "model", "module")
DEEPEST = 4


@dataclass(frozen=True)
class Checkpoint:
    """A state dict; `key` says where it lay in its file ("" for the whole), `others` where more of them lie."""

    state: dict[str, Tensor]
    key: str = ""
    others: tuple[str, ...] = ()


def read_checkpoint(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Tensor]:
    """Return the state dict in a .safetensors or PyTorch file; of several, the usual one is taken, and noted."""
    found = open_checkpoint(path, max_bytes)
    if found.others:
        others = ", ".join(map(repr, found.others))
        note(f"{path}: weights taken from {found.key!r}; the file also holds {others}")
    return found.state


def open_checkpoint(path: Path, max_bytes: int = MAX_BYTES, key: str | None = None) -> Checkpoint:
    """Return the state dict in a .safetensors or PyTorch file, told apart by content, without `module.` before names.

    key: which one, where a file holds several: where it lies (`model_ema`, `checkpoint.model`), or what its names begin
    with. Raises InputError for a file that is missing, too large (packed or unpacked), damaged, of another kind, or
    that holds anything but plain values and tensors: such a file is refused, nothing in it is executed. So are tensors
    without values, sparse, quantised, nested or complex ones, and those that are not finite.
    """
    check_size(path, max_bytes)
    content = load_safetensors(path) if is_safetensors(path) else load_pickled(path)
    found = choose(path, content, key)
    check_tensors(path, found.state, max_bytes)
    return found


def check_size(path: Path, max_bytes: int) -> None:
    """Raise InputError unless `path` is a file below the cap, also once unpacked."""
    size = check_regular(path, "the checkpoint")
    if not is_safetensors(path):
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    size = max(size, sum(entry.file_size for entry in archive.infolist()))
        # a damaged directory of an archive shows in many ways
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise InputError(f"{path}: damaged ({error}); fetch it again") from None
    if size > max_bytes:
        raise InputError(f"{path}: {size:,} bytes, above the cap of {max_bytes:,}; raise --max-gigabytes")


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do, with a JSON header's length; or is named so, no archive."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" or (path.suffix == ".safetensors" and start[:2] not in (b"PK", b"\x80\x02"))


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file. Raises InputError where it is damaged or another kind of file."""
    try:
        return load_file(path)
    # safetensors raises its own error class, which is a plain Exception
    except Exception as error:
        raise InputError(f"{path}: damaged or not safetensors ({first_line(error)}); fetch it again") from error


def load_pickled(path: Path) -> Any:
    """Return the content of a PyTorch file, by the reader that builds tensors and plain values alone.

    Raises InputError where it holds more, or is damaged.
    """
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


def choose(path: Path, content: Any, key: str | None) -> Checkpoint:
    """Return the state dict that is meant among all that a file holds. Raises InputError where that cannot be told."""
    found, mixed = state_dicts(content)
    if key:
        if key not in found:
            parts = [part for every in found.values() if (part := beginning_with(key, every))]
            found = {**found, key: parts[0]} if parts else found
        if key not in found:
            there = ", ".join(repr(one) for one in found if one) or "one state dict alone"
            raise InputError(f"{path}: --key {key}: there is no such state dict; the file holds {there}")
        chosen = key
    elif len(found) > 1:
        usual = [one for one in sorted(found, key=lambda name: name.count(".")) if one.split(".")[-1] in WRAPPERS]
        usual.sort(key=lambda name: [WRAPPERS.index(part) if part in WRAPPERS else 9 for part in name.split(".")])
        if not usual:
            raise InputError(f"{path}: holds {len(found)} state dicts: {', '.join(found)}; choose one with --key")
        chosen = usual[0]
    elif found:
        (chosen,) = found
    else:
        raise InputError(f"{path}: {what_is_odd(max(mixed, key=tensors_in, default={}))}")
    # a larger one, with other things among its tensors, was meant rather than what is beside it
    if not key and mixed and tensors_in(largest := max(mixed, key=tensors_in)) > len(found[chosen]):
        raise InputError(f"{path}: {what_is_odd(largest)}; choose {chosen!r} with --key, if that is meant")
    state = {name.removeprefix("module."): value for name, value in found[chosen].items()}
    return Checkpoint(state, chosen, tuple(name for name in found if name != chosen))


def state_dicts(content: Any) -> tuple[dict[str, dict[str, Tensor]], list[Mapping[Any, Any]]]:
    """Return every mapping of names to tensors in a checkpoint, and the mappings that hold other things beside tensors.

    The former by where they lie (keys with dots between). One that contains itself is looked at once; what is deeper
    than DEEPEST, or under keys that are no text (as in the states of optimisers), is not looked at.
    """
    found: dict[str, dict[str, Tensor]] = {}
    mixed: list[Mapping[Any, Any]] = []
    seen: set[int] = set()
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while level:
        below: list[tuple[tuple[str, ...], Any]] = []
        for where, one in level:
            if not isinstance(one, Mapping):
                continue
            if one and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in one.items()):
                found[".".join(where)] = dict(one)
            elif len(where) < DEEPEST and id(one) not in seen:
                seen.add(id(one))
                mixed += [one] if tensors_in(one) else []
                below += [((*where, name), value) for name, value in one.items() if isinstance(name, str)]
        level = below
    return found, mixed


def tensors_in(content: Mapping[Any, Any]) -> int:
    """Return how many values of a mapping are tensors."""
    return sum(isinstance(value, Tensor) for value in content.values())


def beginning_with(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix` and a dot, under the rest of their names."""
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def what_is_odd(content: Mapping[Any, Any]) -> str:
    """Return why a mapping is no state dict."""
    if not content:
        return f"holds no state dict (looked under {', '.join(WRAPPERS)} and every other name)"
    odd = [str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    return f"its state dict holds things that are no named tensors: {', '.join(odd[:5])}"


def check_tensors(path: Path, state: Mapping[str, Tensor], max_bytes: int) -> None:
    """Raise InputError for tensors that hold no plain finite numbers, or unfold to more than `max_bytes`."""
    for name, value in state.items():
        if kind := unusual(value):
            raise InputError(f"{path}: {name} is a {kind} tensor; store the weights as plain ones")
    # a view can stand for many more values than are stored
    if sum(value.numel() * value.element_size() for value in state.values()) > max_bytes:
        raise InputError(f"{path}: its tensors unfold to more than {max_bytes:,} bytes; raise --max-gigabytes")
    check_finite(state, path)


def unusual(value: Tensor) -> str | None:
    """Return what kind of tensor this is, where its values are not simply there."""
    kinds = {
        "nested": value.is_nested,
        "valueless (meta)": value.is_meta,
        "quantised": value.is_quantized,
        "sparse": value.layout != torch.strided,
        "complex": value.is_complex(),
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def unwrapped(state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield `state`, then it without the first part of all names (`_orig_mod.`, `model.`), while they share one."""
    plain = dict(state)
    while plain:
        yield plain
        if len({name.partition(".")[0] for name in plain}) > 1 or not all("." in name for name in plain):
            return
        plain = {name.partition(".")[2]: value for name, value in plain.items()}
