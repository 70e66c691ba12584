"""What can be timed: a model of ours or a peer's, on a back-end, over one of three scopes.

Scopes: `model`, normalised input tensor to heatmaps; `model-flip-decode`, twice the model (flip test) and heatmaps to
points; `end-to-end`, image files to points in their pixels, with flip test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from sharpose.backends.choice import COMPILED, EAGER, check_backend
from sharpose.backends.compiled import compile_model
from sharpose.backends.deploy import deploy
from sharpose.efficiency.machine import BYTES_PER_NUMBER
from sharpose.efficiency.peers import PEERS, build_peer, find_peer
from sharpose.models import create_model, resolve_config
from sharpose.runtime.errors import InputError
from sharpose.weights.files import load_weights

Scope = Literal["model", "model-flip-decode", "end-to-end"]
TORCH_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
STREAMED = 4
"""Batches in one timed call, where a refine rate is given."""


@dataclass(frozen=True)
class People:
    """A data set on disk, for the scope that begins with image files."""

    annotations: Path
    images: Path


@dataclass(frozen=True)
class Variant:
    """One thing to time."""

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 1
    backend: str = EAGER
    precision: str = "fp32"
    scope: Scope = "model"
    people: People | None = None
    refine_rate: float | None = None
    """Refine rate of several streamed batches; None: one batch, as the options say."""
    weights: Path | None = None
    """None: random ones, on which no speed depends where everybody goes through every stage."""

    @property
    def network(self) -> tuple[str, ...]:
        """Return the key of the network, equal for variants that share one."""
        own = (str(self.batch_size),) if self.backend == COMPILED else ()
        # its quality threshold is set for the rate
        rate = () if self.refine_rate is None else (str(self.refine_rate), str(self.images_per_call))
        trained = () if self.weights is None else (str(self.weights),)
        return self.model, repr(sorted(self.options.items())), self.backend, self.precision, *own, *rate, *trained

    @property
    def refined_share(self) -> float:
        """Return the refine rate of a call, whose refined people are a whole number."""
        return (
            1.0 if self.refine_rate is None else round(self.refine_rate * self.images_per_call) / self.images_per_call
        )

    @property
    def images_per_call(self) -> int:
        """Return how many images one timed call works on."""
        return self.batch_size * (1 if self.refine_rate is None else STREAMED)


def check_variants(variants: Mapping[str, Variant], device: str, rounds: int) -> None:
    """Raise InputError for what cannot be built or timed, before anything is."""
    if rounds < 1:
        raise InputError(f"rounds = {rounds}: must be at least 1")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device = {device!r}: there is no CUDA device here; use --device cpu")
    for variant in variants.values():
        check_variant(variant, device)


def check_variant(variant: Variant, device: str) -> None:
    """Raise InputError for a variant that does not go together."""
    check_backend(variant.backend, variant.precision, device)
    if variant.scope not in get_args(Scope):
        raise InputError(f"scope = {variant.scope!r} does not work: it must be one of {', '.join(get_args(Scope))}")
    if variant.batch_size < 1:
        raise InputError(f"batch_size = {variant.batch_size}: must be at least 1")
    if variant.scope == "end-to-end" and variant.people is None:
        raise InputError("scope = 'end-to-end' needs people: annotations and their images")
    if variant.refine_rate is not None:
        check_rate(variant)
    if variant.model not in PEERS:
        resolve_config(variant.model, **variant.options)
        return
    if variant.backend != EAGER or variant.options:
        raise InputError(f"{variant.model}: peers are timed as their library makes them, eager and without options")
    if variant.scope != "model" and not find_peer(variant.model).gives_heatmaps:
        raise InputError(f"{variant.model}: gives no heatmaps, so its scope can only be 'model'")


def check_rate(variant: Variant) -> None:
    """Raise InputError for a rate that is no share, or for a model without an early exit."""
    assert variant.refine_rate is not None
    if not 0 <= variant.refine_rate <= 1:
        raise InputError(f"refine_rate = {variant.refine_rate} does not work: it must be between 0 and 1")
    if variant.scope != "model":
        raise InputError(f"refine_rate goes with scope 'model' alone, not with {variant.scope!r}")
    config = None if variant.model in PEERS else resolve_config(variant.model, **variant.options)
    if getattr(config, "stages", None) != "coarse-fine":
        raise InputError(f"{variant.model}: has no coarse and fine stage, so refine_rate does not go with it")


def build_network(variant: Variant, device: str, threads: int | None) -> nn.Module:
    """Build the model of a variant with its weights, ready on its back-end."""
    torch.manual_seed(0)
    if variant.model in PEERS:
        return build_peer(variant.model).eval().to(device, TORCH_TYPES[variant.precision])
    model = create_model(variant.model, **variant.options).eval()
    if variant.weights is not None:
        load_weights(model, variant.weights)
    if variant.backend not in (EAGER, COMPILED):
        return deploy(model, variant.backend, precision=variant.precision, threads=threads)
    model = model.to(device, TORCH_TYPES[variant.precision])
    if variant.backend == COMPILED:
        compile_model(model, [variant.batch_size], device)
    return model


def moved_bytes(variant: Variant, params: int) -> int:
    """Return the least bytes moved per image: the weights over the batch, its input and its heatmaps."""
    config = resolve_config(find_peer(variant.model).like if variant.model in PEERS else variant.model)
    height, width = config.image_size
    rows, columns = config.heatmap_size
    numbers = params / variant.batch_size + 3 * height * width + config.num_keypoints * rows * columns
    return int(numbers * BYTES_PER_NUMBER[variant.precision])
