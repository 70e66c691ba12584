"""Checks of DynamicViT, EViT and ToMe against the numbers of their public references, which are image classifiers.

A classifier is our network with the class token as its only keypoint token, and one linear layer in place of the head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.conformance.case import Case, Comparison
from sharpose.models.dynamicvit.config import DynamicViTConfig
from sharpose.models.dynamicvit.model import DynamicViT, policy_softmax
from sharpose.models.evit.config import EViTConfig
from sharpose.models.evit.config import tokens_per_block as evit_tokens
from sharpose.models.evit.model import EViT
from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.token_merging import final_positions, match_tokens, merge_tokens
from sharpose.models.layers.vit import compute_densely
from sharpose.models.tome.config import ToMeConfig, merge_schedule
from sharpose.models.tome.config import tokens_per_block as tome_tokens
from sharpose.models.tome.model import ToMe
from sharpose.runtime.errors import InputError
from sharpose.weights.encoder import from_classifier

Model = TypeVar("Model", bound=KeypointViT)
Classify = Callable[[Tensor], Tensor]

# of every how many patch tokens the case of DynamicViT holds features
STRIDE = 7


def sizes(case: Case) -> dict[str, Any]:
    """Return what all three have in common; our own head is not used."""
    facts = case.config
    same = {name: facts[name] for name in ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")}
    maps = {"image_size": tuple(facts["image_size"]), "heatmap_size": (1, facts["num_classes"]), "num_keypoints": 1}
    return {**same, **maps, "norm_eps": facts["layernorm_eps"], "drop_path": 0.0}


def classifier(model: Model, case: Case) -> tuple[Model, Classify]:
    """Return `model` with the case's weights, and the linear layer from its tokens to logits.

    Raises InputError where the weights do not fit.
    """
    weights, head = from_classifier(case.weights)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    wrong = [name for name in missing if not name.startswith("head.")] + unexpected
    if wrong:
        raise InputError(f"{case.folder / 'weights.safetensors'}: does not fit at {', '.join(wrong)}")
    compute_densely(model)
    return model.eval(), lambda tokens: F.linear(tokens[:, 0], head["weight"], head["bias"])


@torch.inference_mode()
def check_dynamicvit(case: Case) -> list[Comparison]:
    """Compare evaluation with dropped patches, training with given decisions, and the policy softmax alone."""
    facts = case.config
    where, ratios = tuple(facts["pruning_layers"]), tuple(facts["token_ratio"])
    config = DynamicViTConfig(**sizes(case), reduction_blocks=where, token_ratios=ratios)
    model, classify = classifier(DynamicViT(config), case)
    images, stages = case.inputs("image"), range(len(config.reduction_blocks))
    hard = model.pruned(images)
    soft = model.masked(images, [case.inputs(f"train.raw_decision{stage}") for stage in stages])
    weights = policy_softmax(
        case.inputs("policy_softmax.logits"), case.inputs("policy_softmax.policy")[..., 0], facts["policy_eps"]
    )
    comparisons = [
        case.compare("eval.logits", classify(hard.tokens)),
        case.compare("train.logits", classify(soft.tokens)),
        case.compare("train.features", soft.tokens[:, 1::STRIDE]),
        case.compare("train.final_mask", soft.masks[-1]),
        case.compare("policy_softmax.probabilities", weights),
    ]
    for stage in stages:
        comparisons += [
            compare_by_patch(case, stage, hard.keep_indices, hard.log_probs[stage]),
            case.compare_sets(f"eval.kept_original{stage}", hard.keep_indices[stage]),
            case.compare(f"train.predictor{stage}.log_probs", soft.log_probs[stage]),
            case.compare(f"train.mask{stage}", soft.masks[stage]),
        ]
    return comparisons


def compare_by_patch(case: Case, stage: int, ours: Sequence[Tensor], log_probs: Tensor) -> Comparison:
    """Compare predictions of a stage, patch by patch: both sides order patches as in the stage before.

    `ours`: the patches kept after each stage (B, n); `log_probs` are (B, n, 2).
    """
    name = f"eval.predictor{stage}.log_probs"
    if stage == 0:
        return case.compare(name, log_probs)
    theirs = case.tensor(f"out.eval.kept_original{stage - 1}")
    if theirs.shape != ours[stage - 1].shape:
        return Comparison(f"{name} (other patches)", float("inf"), 0.0)
    by_patch = log_probs.gather(1, ours[stage - 1].argsort(dim=1)[..., None].expand(-1, -1, 2))
    rank = theirs.argsort(dim=1).argsort(dim=1)
    return case.compare(name, by_patch.gather(1, rank[..., None].expand(-1, -1, 2)))


@torch.inference_mode()
def check_evit(case: Case) -> list[Comparison]:
    """Compare kept patches, class attention, fused and class tokens of every block, token counts and logits."""
    rates = {index: rate for index, rate in enumerate(case.config["keep_rate"]) if rate < 1}
    reducing: dict[str, Any] = {"reduction_blocks": tuple(rates), "keep_rates": tuple(rates.values())}
    config = EViTConfig(**sizes(case), **reducing, fuse_token=case.config["fuse_token"])
    model, classify = classifier(EViT(config), case)
    output = model(case.inputs("image"))
    comparisons = [case.compare("logits", classify(output.tokens))]
    # a rate that rounds up to every patch changes nothing, so these are the blocks that did reduce
    acted = [index for index in range(config.depth) if f"out.block{index}.kept" in case.tensors]
    if len(acted) != len(output.keep_indices):
        return [Comparison(f"{len(output.keep_indices)} reducing blocks for {len(acted)}", float("inf"), 0.0)]
    for index, attention, kept in zip(acted, output.attention, output.keep_indices, strict=True):
        comparisons += [
            case.compare(f"block{index}.class_attention", attention),
            case.compare_sets(f"block{index}.kept", kept),
        ]
    for index, tokens in enumerate(output.block_tokens):
        for name, ours in ((f"block{index}.class_token", tokens[:, 0]), (f"block{index}.last_token", tokens[:, -1])):
            if f"out.{name}" in case.tensors:
                comparisons.append(case.compare(name, ours))
    if "out.token_counts" in case.tensors:
        counts = [tokens.shape[1] for tokens in output.block_tokens]
        comparisons.append(case.compare("token_counts", torch.tensor(counts)))
        planned = evit_tokens(config)
        comparisons.append(Comparison("planned token counts", float(planned[1:] != counts[:-1]), 0.0))
    return comparisons


def merges_of(variant: dict[str, Any], depth: int) -> tuple[int, ...]:
    """Return a variant's `r`: one number, (mean, inflection), or one per block with none where the list ends."""
    wanted = variant["r"]
    if isinstance(wanted, int):
        return merge_schedule(wanted, 0.0, depth)
    if variant["kind"] == "schedule":
        return merge_schedule(int(wanted[0]), float(wanted[1]), depth)
    return tuple((*wanted, *[0] * depth)[:depth])


@torch.inference_mode()
def check_tome(case: Case) -> list[Comparison]:
    """Compare merging alone on given tensors; then schedules, sizes, groups and logits of every variant."""
    facts, images, comparisons = case.config, case.inputs("image"), []
    for index, matching in enumerate(facts.get("matching", [])):
        comparisons += compare_matching(case, f"m{index}", matching["r"], int(matching["class_token"]))
    for index, variant in enumerate(facts["variants"]):
        merges, proportional = merges_of(variant, facts["depth"]), variant["proportional_attention"]
        config = ToMeConfig(**sizes(case), merges_per_block=merges, proportional_attention=proportional)
        model, classify = classifier(ToMe(config), case)
        output = model(images)
        counts = [*tome_tokens(config)[1:], output.tokens.shape[1]]
        groups = final_positions(output.matchings, len(images), 1 + config.num_patches)
        comparisons += [
            case.compare(f"v{index}.r_per_block", torch.tensor(config.schedule)),
            case.compare(f"v{index}.token_counts", torch.tensor(counts)),
            case.compare(f"v{index}.group_of_patch", groups),
            case.compare(f"v{index}.final_sizes", output.sizes),
            case.compare(f"v{index}.logits", classify(output.tokens)),
        ]
    return comparisons


def compare_matching(case: Case, prefix: str, merges: int, protected: int) -> list[Comparison]:
    """Return the comparisons of merged tokens and their sizes, after one matching with so many merges."""
    matching = match_tokens(case.inputs(f"{prefix}.metric"), merges, protected)
    merged, sizes = merge_tokens(case.inputs(f"{prefix}.x"), case.inputs(f"{prefix}.size")[..., 0], matching)
    return [case.compare(f"{prefix}.merged", merged), case.compare(f"{prefix}.merged_size", sizes[..., None])]
