"""The public names of ViTPose's weights."""

from __future__ import annotations

import re

import torch

from sharpose.models.layout import Layout, State, Table
from sharpose.runtime.errors import InputError

MMPOSE: Table = ((r"^backbone\.", ""), (r"^keypoint_head\.", "head."))

# blocks are `layers` with `ln1`, `ln2` and `ffn.layers`
MMPOSE_1: Table = (
    (r"^backbone\.patch_embed\.projection\.", "patch_embed.proj."),
    (r"^backbone\.layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
    (r"^backbone\.layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
    (r"^backbone\.layers\.", "blocks."),
    (r"^backbone\.ln1\.", "last_norm."),
    (r"^backbone\.", ""),
)

# `VitPoseForPoseEstimation`; its query, key and value are joined before
HUGGINGFACE: Table = (
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


def join_qkv(state: State) -> State:
    """Join query, key and value layers into one. Raises InputError where a query has no key or value."""
    joined, parts = {}, (".query.", ".key.", ".value.")
    for key, value in state.items():
        if parts[0] in key:
            siblings = [key.replace(parts[0], part) for part in parts]
            if missing := [name for name in siblings if name not in state]:
                raise InputError(f"the weights hold {key} but not {', '.join(missing)}")
            joined[key.replace(parts[0], ".qkv.")] = torch.cat([state[name] for name in siblings])
        elif not re.search(r"\.(key|value)\.", key):
            joined[key] = value
    return joined


LAYOUTS = (
    Layout(
        "Hugging Face", HUGGINGFACE, shows="backbone.embeddings.patch_embeddings.projection.weight", prepare=join_qkv
    ),
    Layout("mmpose 0.x", MMPOSE, shows="backbone.patch_embed.proj.weight"),
    Layout("mmpose 1.x", MMPOSE_1, shows="backbone.patch_embed.projection.weight"),
)
