"""The public names of HRFormer's weights."""

from __future__ import annotations

from sharpose.models.layout import MMPOSE, Layout, State, Table

OFFICIAL: Table = (*MMPOSE, (r"\.relative_position_index$", None), (r"\.attn\.attn\.", ".attn."))
# its q, k and v are one layer, which is taken apart before
MMPOSE_PORT: Table = (
    *MMPOSE,
    (r"\.relative_position_index$", None),
    (r"\.attn\.attn\.proj\.", ".attn.out_proj."),
    (r"\.attn\.attn\.", ".attn."),
    (r"\.ffn\.", ".mlp."),
)


def split_qkv(state: State) -> State:
    """Split joint query, key and value layers into three."""
    split = {}
    for key, value in state.items():
        if ".attn.qkv." not in key:
            split[key] = value
            continue
        for name, part in zip("qkv", value.chunk(3), strict=True):
            split[key.replace(".qkv.", f".{name}_proj.")] = part
    return split


LAYOUTS = (Layout("official", OFFICIAL, prepare=split_qkv), Layout("mmpose", MMPOSE_PORT, prepare=split_qkv))
