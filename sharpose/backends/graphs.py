"""A model as static graphs: modules from tensors to tensors without branches, each with example inputs.

SHaRPose is two, as the early exit is decided between them; every other system is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from sharpose.models.output import PoseModel
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import CoarseStage
from sharpose.runtime.errors import InputError

EXAMPLES = 2
"""Instances in an example: more than one, or a tracer takes the batch for a constant."""

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""A compiled graph: float tensors on the CPU by name, of one batch size, to tensors by name. May be given too many."""


@dataclass(frozen=True)
class Graph:
    """One static graph. All `inputs` and `outputs` have the batch as their first dimension, of any size."""

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]


COARSE = "coarse_"
"""Prefix of the fine graph's inputs that come from the coarse graph, as some of its outputs have equal names."""


class Part(nn.Module):
    """A part of a model as a function from tensors to a tuple of tensors."""

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.model = model


class Whole(Part):
    """A system of one piece: images to heatmaps."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the heatmaps (B, K, h, w) of normalised images (B, 3, H, W), alone in a tuple."""
        return (self.model(images).heatmaps,)


class Coarse(Part):
    """The coarse stage: images to its tensors and, with `decode`, the heatmaps of instances that exit early."""

    model: SHaRPose

    def __init__(self, model: SHaRPose, decode: bool = True) -> None:
        super().__init__(model)
        self.decode = decode

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what the stage makes of normalised images (B, 3, H, W), those that are None left out."""
        stage = self.model.coarse(images)
        heatmaps = (self.model.head(stage.keypoint_tokens),) if self.decode else ()
        return *stage.tensors().values(), *heatmaps


class Fine(Part):
    """The fine stage: images, and the coarse stage's tensors where there is one, to its tensors."""

    model: SHaRPose

    def forward(self, images: Tensor, *stage: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of the stage for images (R, 3, H, W), those that are None left out."""
        return tuple(self.model.fine(images, self.model.as_stage(stage) if stage else None).tensors().values())


@torch.no_grad()
def graphs_of(model: PoseModel) -> list[Graph]:
    """Return the static graphs of a model, in the order in which they run. α is the configured one.

    Raises InputError where an option leaves none, as a configuration's `not_static` says.
    """
    if (reason := getattr(model.config, "not_static", None)) is not None:
        raise InputError(reason)
    images = torch.randn(EXAMPLES, 3, *model.config.image_size, generator=torch.Generator().manual_seed(0))
    if not model.stages:
        return [Graph("whole", Whole(model), {"images": images}, ("heatmaps",))]
    staged, graphs = cast(SHaRPose, model), []
    coarse: CoarseStage | None = None
    if "coarse" in model.stages:
        coarse = staged.coarse(images)
        graphs.append(Graph("coarse", Coarse(staged), {"images": images}, (*coarse.tensors(), "heatmaps")))
    if "fine" in model.stages:
        given = {} if coarse is None else {COARSE + name: value for name, value in coarse.tensors().items()}
        outputs = tuple(staged.fine(images, coarse).tensors())
        graphs.append(Graph("fine", Fine(staged), {"images": images, **given}, outputs))
    return graphs


def largest_difference(graph: Graph, run: Run) -> float:
    """Return how far a compiled graph is from torch: the largest relative error, ‖a - b‖ / ‖b‖, of its outputs.

    On a batch of another size than the traced one. Indices must agree exactly, or the difference is infinite.
    """
    inputs = {name: torch.cat([value, value.flip(0), value[:1]]) for name, value in graph.inputs.items()}
    with torch.inference_mode():
        expected = dict(zip(graph.outputs, graph.module(*inputs.values()), strict=True))
    found = run(inputs)
    return max(difference(found[name], expected[name]) for name in graph.outputs)


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the error relative to that of what is expected; of whole numbers, infinity unless equal.

    Both have the same shape (B, ...).
    """
    if not expected.is_floating_point():
        return 0.0 if torch.equal(found, expected) else float("inf")
    return float((found - expected).norm() / expected.norm())
