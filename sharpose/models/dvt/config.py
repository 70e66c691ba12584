"""DVT with keypoint tokens: two stages over the whole picture, the fine one reusing features of the coarse one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, WholeOrZero, check
from sharpose.models.layers.cost import NEAREST, Cost, attention, heatmap_head, layer_norm, mlp, patch_embed, resize
from sharpose.models.sharpose.config import NANO, SHaRPoseConfig, tokens_per_block, values
from sharpose.models.sharpose.cost import coarse_stage
from sharpose.models.system import EncoderNames, System


@dataclass(frozen=True)
class DVTConfig(SHaRPoseConfig):
    """SHaRPose's stages, of which the fine one always takes every patch (α = 1)."""

    context_dim: WholeOrZero = 48
    """Width, per patch, of the coarse stage's features that every block of the fine stage reuses; 0: none."""
    context_hidden: Whole = 128
    relation_reuse: bool = True
    """Add the coarse stage's attention logits, through an MLP over its blocks and heads, to the fine stage's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.alpha == 1, "alpha", self.alpha, "1: the fine stage is over the whole picture")
        check(self.stages == "coarse-fine", "stages", self.stages, "coarse-fine")
        for name, off in (("alpha_mass", None), ("fine_merge", 0), ("selection", "attention")):
            check(getattr(self, name) == off, name, getattr(self, name), f"{off}: nothing is selected")

    @property
    def maps(self) -> int:
        """Return how many attention matrices a stage has: one per block and head."""
        return self.depth * self.num_heads


def cost(config: DVTConfig) -> Cost:
    """Return the closed form of one image that goes through both stages.

    The stages share patch embedding, keypoint tokens and head.
    """
    head, first, second = heatmap_head(config), coarse_stage(config), fine_stage(config)
    learned = 1 + config.num_keypoints + config.num_coarse + config.num_fine
    params = first.params + second.params - patch_embed(config, 0).params + head.params + learned * config.embed_dim
    whole = first + second + head * 2
    return Cost(whole.macs, whole.elements, params, {"coarse": first + head, "fine": second + head, "head": head})


def fine_stage(config: DVTConfig) -> Cost:
    """Return the cost of patch embedding, mapping of relations, and all blocks, the last without context."""
    tokens, maps = config.num_keypoints + config.num_fine, config.maps
    stage = patch_embed(config, config.num_fine) + layer_norm(config.embed_dim, tokens)
    if config.relation_reuse:
        stage += mlp([maps, 3 * maps, maps], (config.num_keypoints + config.num_coarse) ** 2)
    return stage + reusing_block(config, config.context_dim) * (config.depth - 1) + reusing_block(config, 0)


def reusing_block(config: DVTConfig, context: int) -> Cost:
    """Return the cost of a block of the fine stage; features of a coarse patch are copied to its fine ones."""
    dim, tokens, coarse = config.embed_dim, config.num_keypoints + config.num_fine, config.num_coarse
    stage = layer_norm(dim, tokens) + attention(dim, tokens, tokens)
    if context:
        stage += layer_norm(dim, coarse) + mlp([dim, config.context_hidden, context], coarse)
        stage += resize(context, (config.num_fine, 1), NEAREST)
    return stage + layer_norm(dim + context, tokens) + mlp([dim + context, config.mlp_ratio * dim, dim], tokens)


SIZES: dict[str, dict[str, Any]] = {
    "dvt-small-256x192": values((256, 192), 384, 1.0, 0.95),
    "dvt-base-256x192": values((256, 192), 768, 1.0, 0.95),
    "dvt-nano-128x96": values((128, 96), 96, 1.0, 0.95, context_dim=12, context_hidden=32, **NANO),
}

SYSTEM = System(
    name="DVT",
    config=DVTConfig,
    model="sharpose.models.dvt.model:DVT",
    sizes=SIZES,
    cost=cost,
    tokens_per_block=tokens_per_block,
    criterion="sharpose.training.criterion:DVTCriterion",
    encoder=EncoderNames(
        positions=("coarse_pos_embed", "fine_pos_embed"), untrained=("fine_blocks.*", "fine_norm.*", "relation_mlp.*")
    ),
)
