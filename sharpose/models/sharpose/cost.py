"""SHaRPose in closed form, stage by stage."""

from __future__ import annotations

import math

from sharpose.models.layers.cost import (
    BILINEAR,
    CHANNELS,
    NEAREST,
    Cost,
    Size,
    blocks,
    heatmap_head,
    layer_norm,
    linear,
    merging_blocks,
    resize,
    total,
)
from sharpose.models.sharpose.config import SHaRPoseConfig


def sharpose(config: SHaRPoseConfig, keep: int | None = None) -> Cost:
    """One image that goes through every stage, every patch and token of it, as in the paper's tables.

    An early exit saves the part `fine` of its image. `keep`: how many patches are refined, in place of what α says.
    """
    head, parts = heatmap_head(config), {}
    if config.stages != "fine":
        parts["coarse"] = coarse_stage(config) + head
    if config.stages != "coarse":
        parts["fine"] = fine_stage(config, kept(config) if keep is None else keep) + head
    whole = total(list(parts.values()))
    return Cost(whole.macs, whole.elements, parameters(config), {**parts, "head": head})


def coarse_stage(config: SHaRPoseConfig) -> Cost:
    """Resize, embed, all blocks over `[quality, keypoints, patches]`, and the quality predictor (Section 3.2, 3.3)."""
    patches = math.prod(grid(config, config.refine_ratio))
    tokens = [1 + config.num_keypoints + patches] * config.depth
    height, width = config.image_size
    resized = resize(CHANNELS, (height // config.refine_ratio, width // config.refine_ratio), BILINEAR)
    return resized + embed(config, patches) + blocks(config, tokens, tokens) + judge(config)


def fine_stage(config: SHaRPoseConfig, keep: int) -> Cost:
    """Return the cost of the fine stage: embed the full picture, then all blocks.

    These are over the mixed sequence, with the coarse outputs reused (Section 3.4), or over all fine patches where
    there is no coarse stage.
    """
    fine, schedule = math.prod(grid(config)), [config.fine_merge] * config.depth
    if config.stages == "fine":
        return embed(config, fine) + merging_blocks(config, fine, schedule)
    coarse = math.prod(grid(config, config.refine_ratio))
    mixed = config.refine_ratio**2 * keep + coarse - keep
    return embed(config, fine) + reuse(config, coarse, fine) + merging_blocks(config, mixed, schedule)


def reuse(config: SHaRPoseConfig, coarse: int, fine: int) -> Cost:
    """Norm and MLP over the coarse outputs, which every fine patch gets its copy of."""
    dim, hidden = config.embed_dim, config.mlp_ratio * config.embed_dim
    mlp = linear(dim, hidden, coarse) + linear(hidden, dim, coarse)
    return layer_norm(dim, coarse) + mlp + resize(dim, (fine, 1), NEAREST)


def judge(config: SHaRPoseConfig) -> Cost:
    """The MLP that judges the quality token, or the gain at every keypoint token."""
    dim, judged = config.embed_dim, config.num_keypoints if config.gate == "gain" else 1
    return layer_norm(dim, judged) + linear(dim, dim, judged) * 2 + linear(dim, 1, judged)


def grid(config: SHaRPoseConfig, ratio: int = 1) -> Size:
    """Rows and columns of patches of the picture, made smaller by `ratio`."""
    height, width = config.image_size
    return height // ratio // config.patch_size, width // ratio // config.patch_size


def kept(config: SHaRPoseConfig) -> int:
    """How many coarse patches α refines (eq. 7)."""
    wanted = config.alpha * math.prod(grid(config, config.refine_ratio))
    return math.ceil(wanted) if config.keep_rounding == "ceil" else math.floor(wanted)


def embed(config: SHaRPoseConfig, patches: int) -> Cost:
    """Return the cost of embedding so many patches."""
    return linear(CHANNELS * config.patch_size**2, config.embed_dim, patches)


def parameters(config: SHaRPoseConfig) -> int:
    """Learned numbers: the stages share all but their position tables; a stage that is not there has none."""
    dim, has_coarse, has_fine = config.embed_dim, config.stages != "fine", config.stages != "coarse"
    nobody = [0] * config.depth
    shared = embed(config, 0) + blocks(config, nobody, nobody) + heatmap_head(config)
    learned = config.num_keypoints
    if has_coarse:
        learned += 1 + math.prod(grid(config, config.refine_ratio))
        # the quality is there even where the gain is judged
        shared += judge(config) * (2 if config.gate == "gain" else 1)
    if has_fine:
        learned += math.prod(grid(config))
    if has_coarse and has_fine:
        shared += reuse(config, 0, 0)
    return shared.params + learned * dim
