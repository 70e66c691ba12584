"""What a system of pose estimation declares of itself, once; everything else asks the registry for it. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

Reference = str | Callable[..., Any]
"""Something by itself, or as `module:name`, so that it is imported when it is needed."""


@dataclass(frozen=True)
class EncoderNames:
    """Where an image encoder's tensors (a ViT under timm's names) belong in a system.

    `positions`: the tables that start from the encoder's; with `class_row` they keep the row of its class token.
    `norm`: the final norm. `untrained`: patterns of what an encoder has not, beside tokens, predictors and heads.
    """

    positions: tuple[str, ...] = ("pos_embed",)
    class_row: bool = False
    norm: str = "norm"
    untrained: tuple[str, ...] = ()


@dataclass(frozen=True)
class System:
    """A system: what it is called, what determines it, what makes it, and the sizes that have names.

    Only the first four are needed. A `model` is called with a `config` and gives a `PoseModel`; `sizes` are values of
    `config` by the name that `create_model` takes.
    """

    name: str
    """As records hold it."""
    config: type[Any]
    model: Reference
    sizes: Mapping[str, Mapping[str, Any]]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Values by the names that `semantics=` accepts; the first is the default."""
    cost: Reference | None = None
    """The closed form: parameters and multiply-adds from a configuration alone."""
    tokens_per_block: Callable[[Any], list[int]] | None = None
    criterion: Reference = "sharpose.training.criterion:HeatmapCriterion"
    """Called with model, codec, OKS sigmas and recipe; gives a module from a batch and a plan to losses by name."""
    recipe: str = "generated-nano"
    """What its nano models are trained by, and all that have no recipe of their own."""
    layouts: str | tuple[Any, ...] = ()
    """Public names of its weights: a tuple of `Layout`."""
    encoder: EncoderNames | None = None
    """How it starts from an image encoder, where it can."""
    cases: Mapping[str, Reference] = field(default_factory=dict)
    """What checks the conformance cases of its public reference, by the name of the system in them."""


def load(reference: Any) -> Any:
    """Load what a `Reference` means. Raises ImportError or AttributeError for one that leads nowhere."""
    if not isinstance(reference, str):
        return reference
    module, name = reference.split(":")
    return getattr(import_module(module), name)
