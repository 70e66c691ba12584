"""The public names of TransPose's weights."""

from __future__ import annotations

from sharpose.models.layout import Layout, State, Table

OFFICIAL: Table = (
    (r"^pos_embedding$", "pos_embed"),
    (r"^global_encoder\.layers\.(\d+)\.self_attn\.in_proj_", r"encoder.\1.self_attn.qkv."),
    (r"^global_encoder\.layers\.(\d+)\.self_attn\.out_proj\.", r"encoder.\1.self_attn.proj."),
    (r"^global_encoder\.layers\.", "encoder."),
    (r"^final_layer\.", "head."),
    (r"^(?=reduce\.|deconv_layers\.)", ""),
    (r"^", "backbone."),
)
# classifiers, of which the first stages are taken
TORCHVISION: Table = ((r"^(?:fc|layer3|layer4)\.", None), (r"^", "backbone."))
TIMM: Table = (
    (r"^(?:incre_modules|downsamp_modules|final_layer|classifier|transition3|stage4)\.", None),
    # of the last module only the finest branch's output is used
    (r"^stage3\.3\.fuse_layers\.[12]\.", None),
    (r"^", "backbone."),
)
UNTRAINED = ("reduce.*", "pos_embed", "encoder.*", "deconv_layers.*", "head.*")


def batch_first(state: State) -> State:
    """Return the position table as (1, tokens, D); there it is (tokens, 1, D)."""
    return {name: value.transpose(0, 1) if "pos_embedding" in name else value for name, value in state.items()}


LAYOUTS = (
    Layout("official", OFFICIAL, shows="pos_embedding", prepare=batch_first),
    Layout("torchvision", TORCHVISION, untrained=UNTRAINED),
    Layout("timm", TIMM, untrained=UNTRAINED),
)
