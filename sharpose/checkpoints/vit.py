"""Weights of ViTPose and of image classifiers with token reduction under public names to weights under ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from sharpose.checkpoints.sharpose import rename_key
from sharpose.errors import InputError

VITPOSE_MMPOSE = ((r"^backbone\.", ""), (r"^keypoint_head\.", "head."))

VITPOSE_MMPOSE_1 = (
    (r"^backbone\.patch_embed\.projection\.", "patch_embed.proj."),
    (r"^backbone\.layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
    (r"^backbone\.layers\.", "blocks."),
    (r"^backbone\.ln1\.", "last_norm."),
    (r"^backbone\.", ""),
)

# Hugging Face `VitPoseForPoseEstimation`; its query, key and value are joined before
VITPOSE_HUGGINGFACE_PARTS = (
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^backbone\.embeddings\.position_embeddings$", "pos_embed"),
    (r"^backbone\.encoder\.layer\.(\d+)\.attention\.attention\.qkv\.", r"blocks.\1.attn.qkv."),
    (r"^backbone\.encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"^backbone\.encoder\.layer\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"^backbone\.encoder\.layer\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"^backbone\.encoder\.layer\.(\d+)\.mlp\.", r"blocks.\1.mlp."),
    (r"^backbone\.layernorm\.", "last_norm."),
    (r"^head\.deconv1\.", "head.deconv_layers.0."),
    (r"^head\.batchnorm1\.", "head.deconv_layers.1."),
    (r"^head\.deconv2\.", "head.deconv_layers.3."),
    (r"^head\.batchnorm2\.", "head.deconv_layers.4."),
    (r"^head\.conv\.", "head.final_layer."),
)

DYNAMICVIT = ((r"^score_predictor\.", "predictors."),)


def vitpose_from_mmpose(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ViTPose's own release and mmpose 0.x: names under `backbone.` and `keypoint_head.`."""
    return {rename_key(key, VITPOSE_MMPOSE): value for key, value in state.items()}


def vitpose_from_mmpose_1(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ViTPose in mmpose 1.x, whose blocks are `layers` with `ln1`, `ln2` and `ffn.layers`."""
    return {rename_key(key, VITPOSE_MMPOSE_1): value for key, value in state.items()}


def vitpose_from_huggingface(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ViTPose in Hugging Face transformers. Raises InputError where a query has no key or value."""
    joined, parts = {}, (".query.", ".key.", ".value.")
    for key, value in state.items():
        if parts[0] in key:
            siblings = [key.replace(parts[0], part) for part in parts]
            if missing := [name for name in siblings if name not in state]:
                raise InputError(f"the weights hold {key} but not {', '.join(missing)}")
            joined[key.replace(parts[0], ".qkv.")] = torch.cat([state[name] for name in siblings])
        elif not re.search(r"\.(key|value)\.", key):
            joined[key] = value
    return {rename_key(key, VITPOSE_HUGGINGFACE_PARTS): value for key, value in joined.items()}


def from_classifier(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A ViT classifier (timm, DeiT, EViT, ToMe, DynamicViT) as a `KeypointViT` with one token; and its linear head.

    The class token takes its row of the position table along; patches keep theirs.
    """
    ours = {rename_key(key, DYNAMICVIT): value for key, value in state.items() if not key.startswith("head.")}
    positions = ours["pos_embed"]
    ours["keypoint_tokens"] = ours.pop("cls_token") + positions[:, :1]
    ours["pos_embed"] = positions[:, 1:]
    return ours, {key.removeprefix("head."): value for key, value in state.items() if key.startswith("head.")}
