"""The public names of TokenPose's weights."""

from __future__ import annotations

import re

from sharpose.models.layout import Layout, Table

LAYERS = (
    ("0.fn.norm", "norm1"),
    ("0.fn.fn.to_qkv", "attn.qkv"),
    ("0.fn.fn.to_out.0", "attn.proj"),
    ("1.fn.norm", "norm2"),
    ("1.fn.fn.net.0", "mlp.fc1"),
    ("1.fn.fn.net.3", "mlp.fc2"),
)
# TokenPose-T has one stack of layers called `transformer`, L has `transformer1` to `transformer3`
OFFICIAL: Table = (
    (r"^pre_feature\.", "stem."),
    (r"^transformer\.keypoint_token$", "keypoint_tokens"),
    (r"^transformer\.pos_embedding$", "pos_embed"),
    (r"^transformer\.patch_to_embedding\.", "patch_embed."),
    (r"^transformer\.mlp_head\.", "head."),
    *(
        (rf"^transformer\.transformer{number}\.layers\.(\d+)\.{re.escape(public)}\.", rf"stacks.{stack}.\1.{ours}.")
        for number, stack in (("", 0), ("1", 0), ("2", 1), ("3", 2))
        for public, ours in LAYERS
    ),
)

LAYOUTS = (Layout("official", OFFICIAL),)
