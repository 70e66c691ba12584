"""Image encoders (timm ViT, DeiT, MAE, DynamicViT, DINOv2 without registers) as starts of our transformers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sharpose.checkpoints.sharpose import rename_key
from sharpose.checkpoints.vit import DYNAMICVIT
from sharpose.models.output import PoseModel
from sharpose.models.registry import describe
from sharpose.transfer import position_grid, resample_positions

# classifiers' heads, distillation, and MAE's decoder
LEFT_OUT = re.compile(r"^(?:(?:head|head_dist|pre_logits)\.|decoder_|(?:cls_token|dist_token|mask_token)$)")
SPECIAL = ("cls_token", "dist_token")
UNTRAINED = (
    *("keypoint_tokens", "quality_token", "reuse_norm.*", "reuse_mlp.*"),
    *("quality_predictor.*", "gain_predictor.*", "head.*"),
)


def is_encoder(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a plain ViT, as timm has them."""
    return {"pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"} <= set(state)


def is_label_free(state: Mapping[str, Tensor]) -> bool:
    """Whether this is an image encoder and no pose model: a plain ViT with a class token."""
    return is_encoder(state) and "cls_token" in state


def encoder_start(
    state: Mapping[str, Tensor], model: PoseModel
) -> tuple[dict[str, Tensor], list[str], tuple[str, ...]]:
    """What `model` can take of an encoder; names left out; patterns of its own names that an encoder has not.

    SHaRPose's two grids both start from the encoder's positions. ViTPose keeps the class token's row of the table; its
    patches are padded where the encoder's are not. Keypoint and quality tokens, of which the encoder has none, start
    from its class token with its position, each with its own random difference.
    """
    system = describe(model.config)["system"]
    left_out = [name for name in state if LEFT_OUT.match(name)]
    taken = {rename_key(name, DYNAMICVIT): value for name, value in state.items() if name not in left_out}
    taken = fold_layer_scale(taken)
    prefix = special_rows(state)
    table = taken.pop("pos_embed")
    untrained: tuple[str, ...] = UNTRAINED
    if system == "SHaRPose":
        names = [name for name in ("coarse_pos_embed", "fine_pos_embed") if name in model.state_dict()]
        taken |= dict.fromkeys(names, table[:, prefix:])
    elif system == "ViTPose":
        row = table[:, :1] if prefix else table.new_zeros(1, 1, table.shape[2])
        taken["pos_embed"] = torch.cat([row, table[:, prefix:]], dim=1)
        taken |= {f"last_{name}": taken.pop(name) for name in ("norm.weight", "norm.bias") if name in taken}
        untrained = (*UNTRAINED, "last_norm.*")
    else:
        taken["pos_embed"] = table[:, prefix:]
        if not any(name.startswith("predictors.") for name in taken):
            untrained = (*UNTRAINED, "predictors.*")
    return square_to_grid(taken, model) | learned_tokens(state, table[:, :prefix], model), left_out, untrained


def learned_tokens(state: Mapping[str, Tensor], rows: Tensor, model: PoseModel) -> dict[str, Tensor]:
    """The model's learned tokens around the encoder's class token, whose row of the table is the first of `rows`."""
    if "cls_token" not in state:
        return {}
    token = state["cls_token"] + (rows[:, :1] if rows.shape[1] else 0)
    own = model.state_dict()
    names = [name for name in ("keypoint_tokens", "quality_token") if name in own]
    return {name: token + own[name] for name in names if own[name].shape[2] == token.shape[2]}


def special_rows(state: Mapping[str, Tensor]) -> int:
    """Rows of the position table in front of the patches': one per special token, unless the table has none."""
    special, rows = sum(name in state for name in SPECIAL), state["pos_embed"].shape[1]
    without = math.isqrt(rows) ** 2 == rows and math.isqrt(rows - special) ** 2 != rows - special
    return 0 if without else special


def square_to_grid(taken: dict[str, Tensor], model: PoseModel) -> dict[str, Tensor]:
    """Position tables at the model's grids, also where a square grid has as many patches as the model's."""
    for name, own in model.state_dict().items():
        if name.endswith("pos_embed") and name in taken and taken[name].shape[2] == own.shape[2]:
            grid, prefix = position_grid(own.shape[1], model.config)
            patches = taken[name].shape[1] - prefix
            if patches == math.prod(grid) and math.isqrt(patches) ** 2 == patches:
                taken[name] = resample_positions(taken[name], grid, prefix)
    return taken


def fold_layer_scale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layer scale (`ls1.gamma`, `ls2.gamma`) as part of the layer before it, which computes the same."""
    folded = {name: value for name, value in state.items() if not name.endswith((".ls1.gamma", ".ls2.gamma"))}
    for name, gamma in state.items():
        for scale, layer in ((".ls1.gamma", ".attn.proj"), (".ls2.gamma", ".mlp.fc2")):
            if name.endswith(scale):
                weight, bias = (name.replace(scale, f"{layer}.{part}") for part in ("weight", "bias"))
                folded[weight] = folded[weight] * gamma[:, None]
                folded[bias] = folded[bias] * gamma
    return folded
