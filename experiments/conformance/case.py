"""A conformance case on disk, and the comparison of one of our tensors with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from sharpose.runtime.errors import InputError

Config = TypeVar("Config")


class Comparison(NamedTuple):
    """How far one quantity is from the case's, and how far it may be."""

    name: str
    error: float
    bound: float


@dataclass(frozen=True)
class Case:
    """One folder: `case.json`, and where the case has them `tensors.safetensors` and `weights.safetensors`."""

    folder: Path
    system: str
    config: dict[str, Any]
    tolerance: dict[str, Any]
    expected: dict[str, Any]
    tensors: dict[str, Tensor]
    weights: dict[str, Tensor]

    def configuration(self, kind: Callable[..., Config], **more: Any) -> Config:
        """Return a configuration of the case's facts that have the name of a field, with `more` in their place."""
        facts = {name: self.config[name] for name in signature(kind).parameters if name in self.config} | more
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()})

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by its full name (`in.…`, `out.…`). Raises InputError where the case lacks it."""
        if name not in self.tensors:
            raise InputError(f"{self.folder / 'tensors.safetensors'}: no tensor {name!r}; the case is incomplete")
        return self.tensors[name]

    def inputs(self, name: str) -> Tensor:
        """Return the input tensor of a name. Raises InputError where the case lacks it."""
        return self.tensor(f"in.{name}")

    def array(self, name: str) -> np.ndarray:
        """Return an input as numpy's doubles. Raises InputError where the case lacks it."""
        return self.inputs(name).double().numpy()

    def compare(
        self, name: str, ours: Tensor | np.ndarray, *, relative: bool = True, bound: float | None = None
    ) -> Comparison:
        """Compare `ours` with `out.<name>`: relative to the largest expected value, or absolute; whole numbers exactly.

        Both have the same shape, whatever it is; another is an infinite error.
        """
        ours, expected = torch.as_tensor(ours), self.tensor(f"out.{name}")
        if ours.shape != expected.shape:
            return Comparison(f"{name} (shape {tuple(ours.shape)} for {tuple(expected.shape)})", float("inf"), 0.0)
        if not expected.is_floating_point():
            return Comparison(name, float((ours.to(expected.dtype) != expected).sum()), 0.0)
        expected = expected.double()
        error, largest = (
            one.abs().max().item() if one.numel() else 0.0 for one in (ours.double() - expected, expected)
        )
        if relative:
            return Comparison(name, error / (largest or 1.0), bound or self.tolerance["relative_to_max"])
        return Comparison(name, error, bound or self.tolerance["absolute"])

    def compare_all(
        self, ours: Mapping[str, Tensor | np.ndarray], *, relative: bool = False, bound: float | None = None
    ) -> list[Comparison]:
        """Return the comparisons of several quantities by name."""
        return [self.compare(name, value, relative=relative, bound=bound) for name, value in ours.items()]

    def compare_sets(self, name: str, ours: Tensor) -> Comparison:
        """Compare rows of indices as sets: how many rows differ from `out.<name>`. `ours`: indices (B, n)."""
        expected = self.tensor(f"out.{name}")
        if ours.shape != expected.shape:
            return Comparison(f"{name} (shape {tuple(ours.shape)} for {tuple(expected.shape)})", float("inf"), 0.0)
        differing = (ours.sort(dim=-1).values != expected.sort(dim=-1).values).any(dim=-1).sum()
        return Comparison(f"{name} as sets", float(differing), 0.0)


def load_case(folder: Path) -> Case:
    """Read one case. Raises InputError naming the file when it is not one."""
    path = folder / "case.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Case(
            folder=folder,
            system=facts["system"],
            config=facts.get("config", {}),
            tolerance=facts.get("tolerance", {}),
            expected=facts.get("expected", {}),
            tensors=load_optional(folder / "tensors.safetensors"),
            weights=load_optional(folder / "weights.safetensors"),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a conformance case ({type(error).__name__}: {error})") from error


def load_optional(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, empty where there is no file. Raises InputError for one that cannot be read."""
    if not path.exists():
        return {}
    try:
        return load_file(path)
    # safetensors raises its own error class, which is a plain Exception
    except Exception as error:
        raise InputError(f"{path}: not readable as safetensors ({error})") from error
