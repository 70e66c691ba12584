"""The public SHaRPose release: its names to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# (pattern, replacement), first match wins; what no pattern knows is kept and then refused by `load_state_dict`
SHARPOSE_RELEASE = (
    (r"^backbone\.pos_embed_list\.0$", "coarse_pos_embed"),
    (r"^backbone\.pos_embed_list\.1$", "fine_pos_embed"),
    (r"^backbone\.reuse_block\.0\.", "reuse_norm."),
    (r"^backbone\.reuse_block\.1\.", "reuse_mlp."),
    # the release numbers its dropouts, which we leave out
    (r"^backbone\.quality_predictor\.mlp\.3\.", "quality_predictor.mlp.2."),
    (r"^backbone\.quality_predictor\.mlp\.6\.", "quality_predictor.mlp.4."),
    (r"^backbone\.", ""),
    (r"^keypoint_head\.heatmap_mlp\.", "head.layers."),
)


def rename_key(key: str, table: tuple[tuple[str, str], ...]) -> str:
    """`key` under our names."""
    for pattern, replacement in table:
        renamed, hits = re.subn(pattern, replacement, key)
        if hits:
            return renamed
    return key


def from_release(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the public SHaRPose release (REFERENCE: names under `backbone.` and `keypoint_head.`)."""
    return {rename_key(key, SHARPOSE_RELEASE): value for key, value in state.items()}
