"""Heatmaps from the tokens behind every block, through the model's own final norm and head (Figure 2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.errors import InputError
from sharpose.models.output import PoseModel
from sharpose.models.sharpose import SHaRPose
from sharpose.models.vit import compute_in_full
from sharpose.models.vitpose import ViTPose


@torch.inference_mode()
def block_heatmaps(model: PoseModel, images: Float[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B K h w"]]:
    """One map per block, in the order in which they work; SHaRPose's blocks work twice, and everybody is refined.

    The names say stage and block, counted from 1. Raises InputError for other systems.
    """
    if not isinstance(model, SHaRPose | ViTPose):
        raise InputError(f"{type(model).__name__}: intermediate heatmaps are defined for SHaRPose and ViTPose")
    if isinstance(model, SHaRPose) and (model.config.fine_merge or model.config.alpha_mass is not None):
        raise InputError("intermediate heatmaps: need the same tokens in every block, so no fine_merge and alpha_mass")
    seen: list[Tensor] = []
    handles = [block.register_forward_hook(lambda _, __, result: seen.append(result[0])) for block in model.blocks]
    # else the last block of a pass works for some tokens alone
    compute_in_full(model)
    try:
        model.eval()(images)
    finally:
        compute_in_full(model, False)
        for handle in handles:
            handle.remove()
    depth = len(model.blocks)
    if isinstance(model, ViTPose):
        return {f"block {number}": decode_patches(model, tokens) for number, tokens in enumerate(seen, 1)}
    # a person who left early would have no second half
    stages = ["coarse"] * model.config.has_coarse + ["fine"] * (len(seen) // depth - model.config.has_coarse)
    return {
        f"{stages[index // depth]} {index % depth + 1}": decode_keypoints(model, tokens, stages[index // depth])
        for index, tokens in enumerate(seen)
    }


def decode_patches(model: ViTPose, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B K h w"]:
    return model.head(model.last_norm(tokens).transpose(1, 2).unflatten(2, model.config.grid).contiguous())


def decode_keypoints(model: SHaRPose, tokens: Float[Tensor, "B N D"], stage: str) -> Float[Tensor, "B K h w"]:
    """The coarse sequence begins with the quality token, the fine one with the keypoints."""
    first = 1 if stage == "coarse" else 0
    return model.head(model.norm(tokens)[:, first : first + model.config.num_keypoints])
