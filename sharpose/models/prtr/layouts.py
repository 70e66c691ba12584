"""The public names of PRTR's weights."""

from __future__ import annotations

from sharpose.models.layout import TORCHVISION, Layout, State, Table

OFFICIAL: Table = (
    (r"^backbone\.0\.body\.", "backbone."),
    (r"^transformer\.decoder\.norm\.", "norm."),
    (r"^transformer\.(encoder|decoder)\.layers\.(\d+)\.self_attn\.in_proj_", r"\1.\2.self_attn.qkv."),
    (r"^transformer\.(encoder|decoder)\.layers\.(\d+)\.self_attn\.out_proj\.", r"\1.\2.self_attn.proj."),
    (r"^transformer\.decoder\.layers\.(\d+)\.multihead_attn\.in_proj_", r"decoder.\1.cross_attn.qkv."),
    (r"^transformer\.decoder\.layers\.(\d+)\.multihead_attn\.out_proj\.", r"decoder.\1.cross_attn.proj."),
    (r"^transformer\.(encoder|decoder)\.layers\.", r"\1."),
    (r"^query_embed\.weight$", "queries"),
    (r"^class_embed\.", "class_head."),
    (r"^kpt_embed\.layers\.0\.", "head.0."),
    (r"^kpt_embed\.layers\.1\.", "head.2."),
    (r"^kpt_embed\.layers\.2\.", "head.4."),
)
# a classifier, whose backbone is taken
TIMM: Table = ((r"^classifier\.", None), (r"^", "backbone."))
UNTRAINED = ("input_proj.*", "pos_embed", "encoder.*", "decoder.*", "norm.*", "queries", "class_head.*", "head.*")


def batched(state: State) -> State:
    """Return the queries' embeddings as (1, queries, D); there they are (queries, D)."""
    return {name: value[None] if name.endswith("query_embed.weight") else value for name, value in state.items()}


LAYOUTS = (
    Layout("official", OFFICIAL, shows="query_embed.weight", prepare=batched),
    Layout("torchvision", TORCHVISION, untrained=UNTRAINED),
    Layout("timm", TIMM, untrained=UNTRAINED),
)
