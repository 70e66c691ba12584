"""SHaRPose in closed form, stage by stage."""

from __future__ import annotations

from sharpose.models.layers.cost import (
    BILINEAR,
    CHANNELS,
    NEAREST,
    Cost,
    blocks,
    heatmap_head,
    layer_norm,
    merging_blocks,
    mlp,
    patch_embed,
    resize,
    total,
)
from sharpose.models.sharpose.config import SHaRPoseConfig, fine_patches


def sharpose(config: SHaRPoseConfig, keep: int | None = None) -> Cost:
    """Count one image that goes through every stage, every patch and token of it, as in the paper's tables.

    An early exit saves the part `fine` of its image. `keep`: how many patches are refined, in place of what α says.
    """
    head, parts = heatmap_head(config), {}
    if config.has_coarse:
        parts["coarse"] = coarse_stage(config) + head
    if config.has_fine:
        parts["fine"] = fine_stage(config, config.num_keep() if keep is None else keep) + head
    whole = total(parts.values())
    return Cost(whole.macs, whole.elements, parameters(config), {**parts, "head": head})


def coarse_stage(config: SHaRPoseConfig) -> Cost:
    """Resize, embed, all blocks over `[quality, keypoints, patches]`, and the quality predictor (Section 3.2, 3.3)."""
    tokens = [1 + config.num_keypoints + config.num_coarse] * config.depth
    resized = resize(CHANNELS, config.coarse_image_size, BILINEAR)
    return resized + patch_embed(config, config.num_coarse) + blocks(config, tokens) + judge(config)


def fine_stage(config: SHaRPoseConfig, keep: int) -> Cost:
    """Return the cost of the fine stage: embed the full picture, then all blocks.

    These are over the mixed sequence, with the coarse outputs reused (Section 3.4), or over all fine patches where
    there is no coarse stage.
    """
    cost = patch_embed(config, config.num_fine) + merging_blocks(config, fine_patches(config, keep))
    return cost + reuse(config, config.num_coarse, config.num_fine) if config.has_coarse else cost


def reuse(config: SHaRPoseConfig, coarse: int, fine: int) -> Cost:
    """Return the cost of the norm and MLP over coarse outputs, and of copying them to fine patches."""
    dim = config.embed_dim
    copies = resize(dim, (fine, 1), NEAREST)
    return layer_norm(dim, coarse) + mlp([dim, config.mlp_ratio * dim, dim], coarse) + copies


def judge(config: SHaRPoseConfig) -> Cost:
    """Return the cost of the quality predictor."""
    dim = config.embed_dim
    return layer_norm(dim, 1) + mlp([dim, dim, dim, 1], 1)


def parameters(config: SHaRPoseConfig) -> int:
    """Count learned numbers: the stages share all but their position tables; a stage that is not there has none."""
    shared = patch_embed(config, 0) + blocks(config, [0] * config.depth) + heatmap_head(config)
    learned = config.num_keypoints
    if config.has_coarse:
        learned += 1 + config.num_coarse
        shared += judge(config)
    if config.has_fine:
        learned += config.num_fine
    if config.has_coarse and config.has_fine:
        shared += reuse(config, 0, 0)
    return shared.params + learned * config.embed_dim
