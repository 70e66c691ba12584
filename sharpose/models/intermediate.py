"""Heatmaps from the tokens behind every block, through the model's own final norm and head (Figure 2)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.models.layers.vit import compute_densely
from sharpose.models.output import PoseModel
from sharpose.runtime.errors import InputError


@torch.inference_mode()
def block_heatmaps(model: PoseModel, images: Float[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B K h w"]]:
    """Return one map per block, in their order; the blocks of two stages work twice, and everybody is refined.

    The names say stage and block, counted from 1. Raises InputError for a system that does not say what its tokens are
    between blocks (`decode_block`).
    """
    decode = getattr(model, "decode_block", None)
    if decode is None:
        raise InputError(f"{type(model).__name__}: intermediate heatmaps are not defined for it")
    seen: list[Tensor] = []
    blocks: Any = model.blocks
    handles = [block.register_forward_hook(lambda _, __, result: seen.append(result[0])) for block in blocks]
    # else the last block of a pass works for some tokens alone
    compute_densely(model)
    try:
        model.eval()(images)
    finally:
        compute_densely(model, False)
        for handle in handles:
            handle.remove()
    depth, stages = len(blocks), model.stages or ("block",)
    # a person who exited early has no fine stage
    return {
        f"{stages[index // depth]} {index % depth + 1}": decode(tokens, stages[index // depth])
        for index, tokens in enumerate(seen)
    }
