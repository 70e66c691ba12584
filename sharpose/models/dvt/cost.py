"""DVT in closed form, look by look."""

from __future__ import annotations

from sharpose.models.dvt.config import DVTConfig
from sharpose.models.layers.cost import NEAREST, Cost, attention, heatmap_head, layer_norm, linear, resize
from sharpose.models.sharpose.cost import coarse_stage, embed


def dvt(config: DVTConfig) -> Cost:
    """One image that is looked at twice; the looks share patch embedding, keypoint tokens and head."""
    head, first, second = heatmap_head(config), coarse_stage(config), second_look(config)
    learned = 1 + config.num_keypoints + config.num_coarse + config.num_fine
    params = first.params + second.params - embed(config, 0).params + head.params + learned * config.embed_dim
    whole = first + second + head * 2
    parts = {"coarse": first + head, "fine": second + head, "head": head}
    return Cost(whole.macs, whole.elements, params, parts)


def second_look(config: DVTConfig) -> Cost:
    """Embed the full picture, bring the relations to it, then all blocks, of which the last gets no context."""
    coarse, tokens, maps = config.num_coarse, config.num_keypoints + config.num_fine, config.maps
    cost = embed(config, config.num_fine) + layer_norm(config.embed_dim, tokens)
    if config.relation_reuse:
        pairs = (config.num_keypoints + coarse) ** 2
        cost += linear(maps, 3 * maps, pairs) + linear(3 * maps, maps, pairs)
    return cost + block(config, tokens, config.context_dim) * (config.depth - 1) + block(config, tokens, 0)


def block(config: DVTConfig, tokens: int, context: int) -> Cost:
    """One block of the second look; what it gets of every coarse patch is copied to the fine ones."""
    coarse, dim, hidden = config.num_coarse, config.embed_dim, config.mlp_ratio * config.embed_dim
    cost = layer_norm(dim, tokens) + attention(dim, tokens, tokens)
    if context:
        cost += layer_norm(dim, coarse) + linear(dim, config.context_hidden, coarse)
        cost += linear(config.context_hidden, context, coarse) + resize(context, (config.num_fine, 1), NEAREST)
    return (
        cost + layer_norm(dim + context, tokens) + linear(dim + context, hidden, tokens) + linear(hidden, dim, tokens)
    )
