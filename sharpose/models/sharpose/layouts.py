"""The public names of SHaRPose's weights."""

from __future__ import annotations

from sharpose.models.layout import Layout, Table

RELEASE: Table = (
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

LAYOUTS = (Layout("release", RELEASE, shows="backbone.keypoint_tokens"),)
