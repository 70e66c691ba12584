"""Weights of HRNet, SimpleBaseline, HRFormer, TokenPose and OKDHP under public names to weights under ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from sharpose.errors import InputError

# (pattern, replacement), first match wins; None leaves the tensor out; what no pattern knows keeps its name
Table = tuple[tuple[str, str | None], ...]

# `keypoint_head.` in mmpose 0.x, `head.` in 1.x; the trunk is `backbone.` there as here
MMPOSE: Table = (
    (r"^(?:keypoint_head|head)\.final_layer\.", "head."),
    (r"^(?:keypoint_head|head)\.deconv_layers\.", "deconv_layers."),
)
ORIGINAL: Table = ((r"^final_layer\.", "head."), (r"^(?=deconv_layers\.)", ""), (r"^", "backbone."))

HRNET_TIMM: Table = (
    (r"^(?:incre_modules|downsamp_modules|final_layer|classifier)\.", None),
    # of the last module only the finest branch's output is used
    (r"^stage4\.2\.fuse_layers\.[123]\.", None),
    (r"^", "backbone."),
)
RESNET_TORCHVISION: Table = ((r"^fc\.", None), (r"^", "backbone."))

HRFORMER_OFFICIAL: Table = (
    *MMPOSE,
    (r"\.relative_position_index$", None),
    (r"\.attn\.attn\.", ".attn."),
)
# its q, k and v are one layer, which `from_layout` takes apart
HRFORMER_MMPOSE: Table = (
    *MMPOSE,
    (r"\.relative_position_index$", None),
    (r"\.attn\.attn\.proj\.", ".attn.out_proj."),
    (r"\.attn\.attn\.", ".attn."),
    (r"\.ffn\.", ".mlp."),
)

OKDHP: Table = ((r"^(?=(?:hg|res|fc|score|fc_|score_)\.)", "shared."),)


def tokenpose_table() -> Table:
    """TokenPose-T has one stack of layers called `transformer`, L has `transformer1` to `transformer3`."""
    layers = (
        ("0.fn.norm", "norm1"),
        ("0.fn.fn.to_qkv", "attn.qkv"),
        ("0.fn.fn.to_out.0", "attn.proj"),
        ("1.fn.norm", "norm2"),
        ("1.fn.fn.net.0", "mlp.fc1"),
        ("1.fn.fn.net.3", "mlp.fc2"),
    )
    return (
        (r"^pre_feature\.", "stem."),
        (r"^transformer\.keypoint_token$", "keypoint_tokens"),
        (r"^transformer\.pos_embedding$", "pos_embed"),
        (r"^transformer\.patch_to_embedding\.", "patch_embed."),
        (r"^transformer\.mlp_head\.", "head."),
        *(
            (rf"^transformer\.transformer{number}\.layers\.(\d+)\.{re.escape(public)}\.", rf"stacks.{stack}.\1.{ours}.")
            for number, stack in (("", 0), ("1", 0), ("2", 1), ("3", 2))
            for public, ours in layers
        ),
    )


LAYOUTS: dict[str, dict[str, Table]] = {
    "hrnet": {"mmpose": MMPOSE, "original": ORIGINAL, "timm": HRNET_TIMM},
    "simple_baseline": {"mmpose": MMPOSE, "original": ORIGINAL, "torchvision": RESNET_TORCHVISION},
    "hrformer": {"official": HRFORMER_OFFICIAL, "mmpose": HRFORMER_MMPOSE},
    "tokenpose": {"official": tokenpose_table()},
    "okdhp": {"official": OKDHP},
}


def from_layout(state: Mapping[str, Tensor], system: str, layout: str) -> dict[str, Tensor]:
    """A public state dict of `system` under our names; a `module.` in front is left out.

    Raises InputError for an unknown system or layout, naming the known ones.
    """
    if layout not in LAYOUTS.get(system, {}):
        known = ", ".join(f"{name}/{one}" for name, layouts in LAYOUTS.items() for one in layouts)
        raise InputError(f"no layout of weights is called {system}/{layout}; known: {known}")
    renamed = {}
    for key, value in state.items():
        ours = rename(key.removeprefix("module."), LAYOUTS[system][layout])
        if ours is not None:
            renamed[ours] = value
    return split_qkv(renamed) if system == "hrformer" else renamed


def from_public(state: Mapping[str, Tensor], system: str, wanted: Collection[str]) -> dict[str, Tensor]:
    """The same in whichever layout gives most of the `wanted` names (a model's own).

    Raises InputError when none gives any of them.
    """
    converted = [from_layout(state, system, layout) for layout in LAYOUTS.get(system, {})]
    best = max(converted, key=lambda one: len(set(one) & set(wanted)), default={})
    if not set(best) & set(wanted):
        raise InputError(f"these are not weights of {system}; known layouts: {', '.join(LAYOUTS.get(system, {}))}")
    return best


def rename(key: str, table: Table) -> str | None:
    """`key` under our names, or None for a tensor that is left out."""
    for pattern, replacement in table:
        if re.search(pattern, key):
            return None if replacement is None else re.sub(pattern, replacement, key, count=1)
    return key


def split_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Joint query, key and value layers as three."""
    split = {}
    for key, value in state.items():
        if ".attn.qkv." not in key:
            split[key] = value
            continue
        for name, part in zip("qkv", value.chunk(3), strict=True):
            split[key.replace(".qkv.", f".{name}_proj.")] = part
    return split
