"""A model as static graphs: modules from tensors to tensors without branches, each with example inputs.

SHaRPose is two, as the early exit is decided between them; every other system is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn

from sharpose.models.output import PoseModel
from sharpose.models.sharpose.model import CoarseStage, FineStage, SHaRPose
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


STAGE = tuple(field.name for field in fields(CoarseStage))
COARSE = "coarse_"
"""Before the names of what the fine graph takes from the coarse one, which gives some of them under the same name."""


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
    """The coarse stage: images to its tensors."""

    model: SHaRPose

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of the stage for normalised images (B, 3, H, W), those that are None left out."""
        return tuple(coarse_tensors(self.model, images).values())


class Fine(Part):
    """The fine stage; `names` are those of the coarse stage's tensors, in the order in which they are given."""

    model: SHaRPose

    def __init__(self, model: SHaRPose, names: Sequence[str]) -> None:
        super().__init__(model)
        self.names = list(names)

    def forward(self, images: Tensor, *stage: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors of the stage, those that are None left out; without `stage` there was no coarse one.

        `images` are (R, 3, H, W).
        """
        coarse = coarse_stage(dict(zip(self.names, stage, strict=True))) if stage else None
        return tuple(present(self.model.fine(images, coarse)).values())


@torch.no_grad()
def graphs_of(model: PoseModel) -> list[Graph]:
    """The static graphs of a model, in the order in which they run. α is the configured one.

    Raises InputError where an option leaves none, as a configuration's `not_static` says.
    """
    if (reason := getattr(model.config, "not_static", None)) is not None:
        raise InputError(reason)
    images = torch.randn(EXAMPLES, 3, *model.config.image_size, generator=torch.Generator().manual_seed(0))
    if not model.stages:
        return [Graph("whole", Whole(model), {"images": images}, ("heatmaps",))]
    staged, graphs, stage = cast(SHaRPose, model), [], dict[str, Tensor]()
    if "coarse" in model.stages:
        stage = coarse_tensors(staged, images)
        graphs.append(Graph("coarse", Coarse(staged), {"images": images}, tuple(stage)))
    if "fine" in model.stages:
        outputs = tuple(present(staged.fine(images, coarse_stage(stage) if stage else None)))
        given = {COARSE + name: value for name, value in stage.items()}
        graphs.append(Graph("fine", Fine(staged, tuple(stage)), {"images": images, **given}, outputs))
    return graphs


def coarse_tensors(model: SHaRPose, images: Tensor) -> dict[str, Tensor]:
    """What the coarse stage makes of images (B, 3, H, W), by name, with the heatmaps of instances that exit."""
    stage = present(model.coarse(images))
    return {**stage, "heatmaps": model.head(stage["keypoint_tokens"])}


def coarse_stage(tensors: Mapping[str, Tensor]) -> CoarseStage:
    """A coarse stage from its tensors; what it does not hold is left out.

    All have the batch as their first dimension (B, ...).
    """
    return CoarseStage(**{name: tensors[name] for name in STAGE if name in tensors})


def present(stage: CoarseStage | FineStage) -> dict[str, Tensor]:
    """The tensors of a stage by name."""
    return {name: value for name, value in vars(stage).items() if value is not None}
