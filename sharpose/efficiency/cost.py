"""Parameters and multiply-adds, counted by two libraries, stage by stage.

One multiply-add counts as one, as in the paper's "GFLOPs". Attention is counted with its explicit matrices. Tracing
follows one branch only, so every stage is a module of its own here and the stages are added.

Every model is counted twice: as published (every token through every block), which is what papers' figures mean, and
as executed, only what the result depends on. There, relevance is read off the attention matrices; with fused attention
its rows are computed apart, which is less than 0.1 % more.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sharpose.backends.graphs import Coarse, Fine, Whole
from sharpose.models import create_model
from sharpose.models.layers.vit import compute_densely, use_explicit_attention
from sharpose.models.output import PoseModel
from sharpose.models.sharpose.model import SHaRPose
from sharpose.runtime.errors import InputError, RunFailed

with warnings.catch_warnings():
    # fvcore scripts some of its functions when it is imported, which newer torch advises against
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis


def measure_cost(name: str, options: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Count parameters and multiply-adds of one image that goes through every stage.

    `macs_torch`, `macs_products` and `macs_fvcore` are totals as published; `macs_torch_executed` and so on are what is
    computed. Of SHaRPose they have `_coarse` and `_fine` parts; a `_head` part is inside each stage. The first two
    count matmuls and convolutions alone, by torch and by fvcore, and agree; `macs_fvcore` adds what fvcore
    counts for normalisation and resizing, and is the paper's convention. Raises RunFailed where a counter meets a
    matmul that it cannot count, InputError for `alpha_mass`, with which every image has its own cost.
    """
    with torch.device("meta"):
        model = create_model(name, **(options or {})).eval()
    if getattr(model.config, "alpha_mass", None) is not None:
        raise InputError(
            "alpha_mass: how many patches are refined, and so the cost, depends on the image; count with alpha instead "
            "(`sharpose evaluate` measures how many patches people take)"
        )
    use_explicit_attention(model)
    compute_densely(model)
    metrics = {"params": sum(parameter.numel() for parameter in model.parameters()), **count(model, "")}
    if hasattr(model, "dense_compute"):
        compute_densely(model, False)
        return metrics | count(model, "_executed")
    executed = {f"{name}_executed": macs for name, macs in metrics.items() if name in TOTALS}
    return metrics | executed


def counters_apart(metrics: Mapping[str, Any]) -> float:
    """Return the largest relative difference of the two counters of matmuls, published and executed, a fraction."""
    suffixes = ("", "_executed")
    return max(abs(metrics[f"macs_products{end}"] / metrics[f"macs_torch{end}"] - 1) for end in suffixes)


TOTALS = ("macs_torch", "macs_fvcore", "macs_products")


def count(model: PoseModel, suffix: str) -> dict[str, int]:
    """Count multiply-adds of the model as it is set, stage by stage and in total; its weights are replaced."""
    metrics: dict[str, int] = {}
    model.to("meta")
    parts = stages(model, torch.empty(1, 3, *model.config.image_size, device="meta"))
    # torch counts without any memory for weights; convolutions on the meta device cannot be traced, so fvcore gets
    # weights of zeros (what happens to lie in memory may be denormal numbers, with which a CPU is very slow)
    for counter, device in ((count_torch, "meta"), (count_fvcore, "cpu")):
        model.to_empty(device=device)
        for tensor in model.state_dict().values():
            tensor.zero_()
        for stage, (module, inputs) in parts.items():
            for kind, macs in counter(module, tuple(torch.zeros_like(x, device=device) for x in inputs)).items():
                if stage != WHOLE:
                    metrics[f"macs_{kind}{suffix}_{stage}"] = macs
                if stage != "head":
                    metrics[f"macs_{kind}{suffix}"] = metrics.get(f"macs_{kind}{suffix}", 0) + macs
    return metrics


WHOLE = "whole"
Parts = dict[str, tuple[nn.Module, tuple[Tensor, ...]]]


def stages(model: PoseModel, images: Tensor) -> Parts:
    """Return the parts of a model that run one after the other, with example inputs; `head` is also inside the others.

    `images` are normalised, (B, 3, H, W).
    """
    parts: Parts = {}
    stage: Iterable[Tensor] = ()
    if not model.stages:
        parts[WHOLE] = Whole(model), (images,)
    if "coarse" in model.stages:
        staged = cast(SHaRPose, model)
        # as executed, coarse heatmaps of a refined image are never decoded
        parts["coarse"] = Coarse(staged, decode=staged.dense_compute or not staged.config.has_fine), (images,)
        with torch.no_grad():
            stage = staged.coarse(images).tensors().values()
    if "fine" in model.stages:
        parts["fine"] = Fine(model), (images, *stage)
    if isinstance(head := getattr(model, "head", None), nn.Module):
        module, inputs = list(parts.values())[-1]
        parts["head"] = head, head_inputs(head, module, inputs)
    return parts


def head_inputs(head: nn.Module, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the inputs that `module`, called with `inputs`, passes to its `head`."""
    seen: list[tuple[Tensor, ...]] = []
    handle = head.register_forward_pre_hook(lambda _, given: seen.append(given))
    with torch.no_grad():
        module(*inputs)
    handle.remove()
    return seen[-1]


def count_torch(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """Count matmuls and convolutions by torch's dispatcher-level counter, which counts two operations for each."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return {"torch": counter.get_total_flops() // 2}


MATMULS = ("mm", "matmul", "linear", "conv", "einsum", "attention")


def is_matmul(operator: str) -> bool:
    """Return whether an operator of fvcore's is a matmul or a convolution, by its name."""
    return "upsample" not in operator and any(word in operator for word in MATMULS)


def count_fvcore(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """Return all that fvcore counts, and the matmuls and convolutions among it.

    Raises RunFailed where it misses a matmul.
    """
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(module, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    with torch.no_grad(), warnings.catch_warnings():
        # fvcore still scripts its helpers, which newer torch advises against
        warnings.simplefilter("ignore")
        by_operator = analysis.by_operator()
        missed = [op for op in analysis.unsupported_ops() if is_matmul(op)]
    if missed:
        raise RunFailed(f"fvcore does not count {', '.join(missed)}; the cost would be too low")
    matmuls = sum(macs for op, macs in by_operator.items() if is_matmul(op))
    return {"fvcore": int(sum(by_operator.values())), "products": int(matmuls)}
