"""Image encoders (timm ViT, DeiT, MAE, DynamicViT, DINOv2 without registers) as starts of our transformers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sharpose.models.layout import Table, rename
from sharpose.models.output import PoseModel
from sharpose.models.registry import system_of
from sharpose.runtime.errors import InputError
from sharpose.weights.transfer import position_grid, resample_positions

# classifiers' heads, distillation, and MAE's decoder
LEFT_OUT = re.compile(r"^(?:(?:head|head_dist|pre_logits)\.|decoder_|(?:cls_token|dist_token|mask_token)$)")
DYNAMICVIT: Table = ((r"^score_predictor\.", "predictors."),)
SPECIAL = ("cls_token", "dist_token")
UNTRAINED: tuple[str, ...] = (
    *("keypoint_tokens", "quality_token", "reuse_norm.*", "reuse_mlp.*"),
    *("quality_predictor.*", "head.*"),
)


def is_encoder(state: Mapping[str, Tensor]) -> bool:
    """Return whether the names are those of a plain ViT, as timm has them."""
    return {"pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"} <= set(state)


def is_label_free(state: Mapping[str, Tensor]) -> bool:
    """Return whether this is an image encoder and no pose model: a plain ViT with a class token."""
    return is_encoder(state) and "cls_token" in state


def encoder_start(
    state: Mapping[str, Tensor], model: PoseModel
) -> tuple[dict[str, Tensor], list[str], tuple[str, ...]]:
    """Return what `model` can take of an encoder; names left out; patterns of its own names that an encoder has not.

    The system says where the encoder's tensors belong: every position table starts from the encoder's, with the row of
    its class token where the system keeps one. Learned tokens, of which the encoder has none, start from its class
    token with its position, each with its own random difference. Raises InputError for a system that takes no encoder.
    """
    system = system_of(model.config)
    names = system.encoder
    if names is None:
        raise InputError(f"{system.name} cannot start from an image encoder (a ViT); give weights of its own")
    left_out = [name for name in state if LEFT_OUT.match(name)]
    taken = {rename(name, DYNAMICVIT) or name: value for name, value in state.items() if name not in left_out}
    taken = fold_layer_scale(taken)
    prefix = special_rows(state)
    table = taken.pop("pos_embed")
    positions = table[:, prefix:]
    if names.class_row:
        row = table[:, :1] if prefix else table.new_zeros(1, 1, table.shape[2])
        positions = torch.cat([row, positions], dim=1)
    taken |= {name: positions for name in names.positions if name in model.state_dict()}
    untrained = (*UNTRAINED, *names.untrained)
    if names.norm != "norm":
        theirs = [name for name in taken if name.startswith("norm.")]
        taken |= {name.replace("norm", names.norm): taken.pop(name) for name in theirs}
        untrained = (*untrained, f"{names.norm}.*")
    if not any(name.startswith("predictors.") for name in taken):
        untrained = (*untrained, "predictors.*")
    return square_to_grid(taken, model) | learned_tokens(state, table[:, :prefix], model), left_out, untrained


def learned_tokens(state: Mapping[str, Tensor], rows: Tensor, model: PoseModel) -> dict[str, Tensor]:
    """Return the model's learned tokens around the encoder's class token, whose table row is the first of `rows`.

    `rows` are (1, rows, D).
    """
    if "cls_token" not in state:
        return {}
    token = state["cls_token"] + (rows[:, :1] if rows.shape[1] else 0)
    own = model.state_dict()
    names = [name for name in ("keypoint_tokens", "quality_token") if name in own]
    return {name: token + own[name] for name in names if own[name].shape[2] == token.shape[2]}


def special_rows(state: Mapping[str, Tensor]) -> int:
    """Return rows of the position table in front of the patches': one per special token, unless the table has none."""
    special, rows = sum(name in state for name in SPECIAL), state["pos_embed"].shape[1]
    without = math.isqrt(rows) ** 2 == rows and math.isqrt(rows - special) ** 2 != rows - special
    return 0 if without else special


def square_to_grid(taken: dict[str, Tensor], model: PoseModel) -> dict[str, Tensor]:
    """Return position tables at the model's grids, also where a square grid has as many patches as the model's."""
    for name, own in model.state_dict().items():
        if name.endswith("pos_embed") and name in taken and taken[name].shape[2] == own.shape[2]:
            grid, prefix = position_grid(own.shape[1], model.config)
            patches = taken[name].shape[1] - prefix
            if patches == math.prod(grid) and math.isqrt(patches) ** 2 == patches:
                taken[name] = resample_positions(taken[name], grid, prefix)
    return taken


def fold_layer_scale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold layer scale (`ls1.gamma`, `ls2.gamma`) into the layer before it, which computes the same."""
    folded = {name: value for name, value in state.items() if not name.endswith((".ls1.gamma", ".ls2.gamma"))}
    for name, gamma in state.items():
        for scale, layer in ((".ls1.gamma", ".attn.proj"), (".ls2.gamma", ".mlp.fc2")):
            if name.endswith(scale):
                weight, bias = (name.replace(scale, f"{layer}.{part}") for part in ("weight", "bias"))
                folded[weight] = folded[weight] * gamma[:, None]
                folded[bias] = folded[bias] * gamma
    return folded


def from_classifier(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a ViT classifier (timm, DeiT, EViT, ToMe, DynamicViT) as a `KeypointViT` of one token; and its head.

    The class token takes its row of the position table along; patches keep theirs.
    """
    ours = {rename(key, DYNAMICVIT) or key: value for key, value in state.items() if not key.startswith("head.")}
    positions = ours["pos_embed"]
    ours["keypoint_tokens"] = ours.pop("cls_token") + positions[:, :1]
    ours["pos_embed"] = positions[:, 1:]
    return ours, {key.removeprefix("head."): value for key, value in state.items() if key.startswith("head.")}
