"""Which parameter learns how fast: layer-wise learning rates, weight decay, and the learning rate per iteration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sharpose.training.recipe import Recipe

LEARNED_TABLES = ("cls_token", "mask_token", "pos_embed", "keypoint_tokens", "quality_token")
EMBEDDINGS = (*LEARNED_TABLES, "patch_embed")
WITHOUT_DECAY = ("cls_token", "pos_embed", "keypoint_tokens", "quality_token", "rel_pos_")


class ParameterRule(NamedTuple):
    """The multiplier of the learning rate and the weight decay of one parameter."""

    lr_scale: float
    weight_decay: float


def parameter_rule(
    name: str,
    ndim: int,
    depth: int,
    layer_decay: float,
    weight_decay: float,
    without_decay: tuple[str, ...] | None = None,
    decay_embeddings: bool = True,
) -> ParameterRule:
    """Return the ViTPose family's layer-wise decay: embeddings are layer 0, block i is layer i + 1, all else is last.

    Without `decay_embeddings` learned tokens and position tables count as last too: a start without labels has none of
    the first, and in a short training they would stay where they began.

    1-D parameters, biases, position tables and learned tokens are not decayed; with `without_decay`, only parameters
    with one of these words in their name are not.
    """
    last = depth + 1
    if any(word in name for word in (EMBEDDINGS if decay_embeddings else ("patch_embed",))):
        layer = 0
    elif block := re.search(r"(?:^|\.)blocks\.(\d+)\.", name):
        layer = int(block.group(1)) + 1
    else:
        layer = last
    if without_decay is None:
        free = ndim <= 1 or name.endswith(".bias") or any(word in name for word in WITHOUT_DECAY)
    else:
        free = any(word in name for word in without_decay)
    return ParameterRule(layer_decay ** (last - layer), 0.0 if free else weight_decay)


def make_optimizer(
    named_parameters: Iterable[tuple[str, Tensor]],
    depth: int,
    recipe: Recipe,
    without_decay: tuple[str, ...] | None = None,
) -> torch.optim.Adam:
    """Make Adam or AdamW with a group per distinct rule (see `parameter_rule`); every group carries its `lr_scale`."""
    groups: dict[ParameterRule, list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        decays = recipe.layer_decay, recipe.weight_decay, without_decay, recipe.decay_embeddings
        rule = parameter_rule(name, parameter.ndim, depth, *decays)
        groups.setdefault(rule, []).append(parameter)  # type: ignore[arg-type]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        [{"params": params, "weight_decay": r.weight_decay, "lr_scale": r.lr_scale} for r, params in groups.items()],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        fused=True,
    )


def learning_rate(recipe: Recipe, iteration: int, iterations_per_epoch: int) -> float:
    """Return a 0-based iteration's base learning rate: steps by epoch, linear decay to zero, warm-up on top of both."""
    epoch = iteration // iterations_per_epoch
    rate = recipe.learning_rate * recipe.gamma ** sum(epoch >= milestone for milestone in recipe.milestones)
    if recipe.linear_decay_epochs:
        left = recipe.epochs - iteration / iterations_per_epoch
        rate *= min(1.0, max(0.0, left / recipe.linear_decay_epochs))
    if iteration < recipe.warmup_iterations:
        rate *= 1 - (1 - iteration / recipe.warmup_iterations) * (1 - recipe.warmup_ratio)
    return rate


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group to `rate` times its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
