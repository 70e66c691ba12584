"""Parameters and multiply-adds, counted by two libraries, stage by stage.

One multiply-add counts as one, as in the paper's "GFLOPs". Attention is counted with its explicit matrices. Tracing
follows one branch only, so every stage is a module of its own here and the stages are added.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sharpose.errors import RunFailed
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.models.sharpose import CoarseStage, SHaRPose
from sharpose.models.vit import use_explicit_attention

with warnings.catch_warnings():
    # fvcore scripts some of its functions when it is imported, which newer torch advises against
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis


class Part(nn.Module):
    """One stage as a module from tensors to tensors, as tracers need it."""

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.model = model


class Whole(Part):
    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).heatmaps


class CoarsePart(Part):
    model: SHaRPose

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(vars(self.model.coarse(images)).values())


class FinePart(Part):
    model: SHaRPose

    def forward(self, images: Tensor, *stage: Tensor) -> Tensor:
        return self.model.fine(images, CoarseStage(*stage) if stage else None).heatmaps


def measure_cost(name: str, options: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Parameters and multiply-adds of one image that goes through every stage.

    `macs_torch`, `macs_products` and `macs_fvcore` are totals. Of SHaRPose they have `_coarse` and `_fine` parts; a
    `_head` part is inside each stage. The first two count matrix products and convolutions alone, by torch and by
    fvcore, and agree; `macs_fvcore` adds what fvcore counts for normalisation and resizing, and is the paper's
    convention. Raises RunFailed when a counter met a matrix product that it cannot count.
    """
    with torch.device("meta"):
        model = create_model(name, **(options or {})).eval()
        parts = stages(model, torch.empty(1, 3, *model.config.image_size))
    use_explicit_attention(model)
    metrics = {"params": sum(parameter.numel() for parameter in model.parameters())}
    # torch counts without any memory for weights; convolutions on the meta device cannot be traced, so fvcore gets
    # weights of zeros (what happens to lie in memory may be denormal numbers, with which a CPU is very slow)
    for count, device in ((count_torch, "meta"), (count_fvcore, "cpu")):
        model.to_empty(device=device)
        for tensor in model.state_dict().values():
            tensor.zero_()
        for stage, (module, inputs) in parts.items():
            for counter, macs in count(module, tuple(torch.zeros_like(x, device=device) for x in inputs)).items():
                if stage != WHOLE:
                    metrics[f"macs_{counter}_{stage}"] = macs
                if stage != "head":
                    metrics[f"macs_{counter}"] = metrics.get(f"macs_{counter}", 0) + macs
    return metrics


WHOLE = "whole"
Parts = dict[str, tuple[nn.Module, tuple[Tensor, ...]]]


def stages(model: PoseModel, images: Tensor) -> Parts:
    """The parts of a model that run one after the other, with example inputs; `head` is also inside the others."""
    parts: Parts = {}
    stage: tuple[Tensor, ...] = ()
    if not isinstance(model, SHaRPose):
        parts[WHOLE] = Whole(model), (images,)
    elif model.config.has_coarse:
        coarse = CoarsePart(model)
        with torch.no_grad():
            stage = coarse(images)
        parts["coarse"] = coarse, (images,)
    if isinstance(model, SHaRPose) and model.config.has_fine:
        parts["fine"] = FinePart(model), (images, *stage)
    if isinstance(head := getattr(model, "head", None), nn.Module):
        module, inputs = next(iter(parts.values()))
        parts["head"] = head, head_inputs(head, module, inputs)
    return parts


def head_inputs(head: nn.Module, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What `module` gives to its `head`."""
    seen: list[tuple[Tensor, ...]] = []
    handle = head.register_forward_pre_hook(lambda _, given: seen.append(given))
    with torch.no_grad():
        module(*inputs)
    handle.remove()
    return seen[-1]


def count_torch(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """Matrix products and convolutions by torch's dispatcher-level counter, which counts two operations for each."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return {"torch": counter.get_total_flops() // 2}


PRODUCTS = ("mm", "matmul", "linear", "conv", "einsum", "attention")


def is_product(operator: str) -> bool:
    return "upsample" not in operator and any(word in operator for word in PRODUCTS)


def count_fvcore(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """All that fvcore counts, and the matrix products and convolutions among it. A product it misses is an error."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    with torch.no_grad(), warnings.catch_warnings():
        # fvcore still scripts its helpers, which newer torch advises against
        warnings.simplefilter("ignore")
        by_operator = analysis.by_operator()
        missed = [op for op in analysis.unsupported_ops() if is_product(op)]
    if missed:
        raise RunFailed(f"fvcore does not count {', '.join(missed)}; the cost would be too low")
    products = sum(macs for op, macs in by_operator.items() if is_product(op))
    return {"fvcore": int(sum(by_operator.values())), "products": int(products)}
