"""Checks of whole models against the numbers of their public references; token reduction has a module of its own."""

from __future__ import annotations

from typing import Any

import torch

from experiments.conformance.case import Case, Comparison
from sharpose.models.config import check
from sharpose.models.registry import systems
from sharpose.models.sharpose.config import SHaRPoseConfig
from sharpose.models.sharpose.output import SHaRPoseOutput
from sharpose.models.system import load
from sharpose.models.tokenpose.config import TokenPoseConfig
from sharpose.models.vitpose.config import ViTPoseConfig
from sharpose.weights.importing import from_layout

HEADS = {"single": "single", "two_layer": "two-layer"}
LAYOUTS = {
    "SHaRPose": "release",
    "ViTPose": "mmpose 0.x",
    "TokenPose": "official",
    "SimpleBaseline": "mmpose",
    "HRNet": "mmpose",
    "HRFormer": "official",
}
"""By system, the names under which the references have their weights."""


def network(case: Case, system: str, config: Any) -> Any:
    """Return the model of a system with the case's weights, for evaluation."""
    model = load(systems()[system].model)(config)
    model.load_state_dict(from_layout(case.weights, system, LAYOUTS[system]))
    return model.eval()


def sharpose_config(case: Case, variant: dict[str, Any]) -> SHaRPoseConfig:
    """Return the release's semantics with the sizes of the case and the alpha and threshold of one of its variants."""
    facts = case.config
    first, late = facts["relevance_first_block"], facts["depth"] // 4
    check(first in (0, late), "relevance_first_block", first, f"0 or a quarter of the depth: {late}")
    return case.configuration(
        SHaRPoseConfig,
        refine_ratio=facts["fine_grid"][0] // facts["coarse_grid"][0],
        head=HEADS[facts["head"]],
        relevance_blocks="late" if first == late else "all",
        alpha=variant["alpha"],
        quality_threshold=variant["quality_threshold"] if variant["early_exit"] else None,
        drop_path=0.0,
    )


@torch.inference_mode()
def check_sharpose(case: Case) -> list[Comparison]:
    """Compare coarse and final heatmaps, tokens, quality, relevance, selected patches and refinement, by variant."""
    images, comparisons = case.inputs("image"), []
    for index, variant in enumerate(case.config["variants"]):
        model = network(case, "SHaRPose", sharpose_config(case, variant))
        output = model(images)
        if index == 0:
            coarse = model.coarse(images)
            comparisons += [
                case.compare("coarse_heatmaps", model.head(coarse.keypoint_tokens)),
                case.compare("coarse_tokens", coarse.keypoint_tokens),
                case.compare("quality", coarse.quality),
                case.compare("relevance", coarse.relevance),
            ]
        comparisons += compare_variant(case, f"v{index}", output)
        if f"out.v{index}.final_tokens" in case.tensors and variant["early_exit"] is False:
            fine = model.fine(images, model.coarse(images))
            comparisons.append(case.compare(f"v{index}.final_tokens", fine.keypoint_tokens))
    return comparisons


def compare_variant(case: Case, prefix: str, output: SHaRPoseOutput) -> list[Comparison]:
    """Return the comparisons of heatmaps, refined people and, where the case names them, kept patches."""
    comparisons = [
        case.compare(f"{prefix}.final_heatmaps", output.heatmaps),
        case.compare(f"{prefix}.refine_mask", output.needs_refinement),
    ]
    if f"out.{prefix}.selected_patches" in case.tensors:
        kept = output.keep_indices if output.keep_indices is not None else torch.empty(0, 0, dtype=torch.int64)
        comparisons.append(case.compare_sets(f"{prefix}.selected_patches", kept))
    return comparisons


def vitpose_config(case: Case) -> ViTPoseConfig:
    """Return the sizes of the case."""
    facts = case.config
    upsample = facts["heatmap_size"][0] // facts["grid"][0]
    return case.configuration(ViTPoseConfig, upsample=upsample, norm_eps=facts["layernorm_eps"], drop_path=0.0)


@torch.inference_mode()
def check_vitpose(case: Case) -> list[Comparison]:
    """Compare tokens after position, features and heatmaps."""
    model, images = network(case, "ViTPose", vitpose_config(case)), case.inputs("image")
    output = model(images)
    return [
        case.compare("tokens_before_blocks", model.embed(images)),
        case.compare("features", output.features),
        case.compare("heatmaps", output.heatmaps),
    ]


def tokenpose_config(case: Case) -> TokenPoseConfig:
    """Return the configuration that a case describes; without `widths` it has no stem."""
    facts, stem = case.config, {}
    if "widths" in facts:
        stem = {
            "stem_widths": tuple(facts["widths"]),
            "stem_modules": tuple(facts["modules"]),
            "stem_blocks_per_branch": facts["blocks_per_branch"],
            "stem_stage1_blocks": facts["stem_bottlenecks"],
        }
    return case.configuration(TokenPoseConfig, head=HEADS[facts["head"]], **stem)


@torch.inference_mode()
def check_tokenpose(case: Case) -> list[Comparison]:
    """Compare stem features where there is a stem (L), keypoint tokens after every stack, and heatmaps."""
    model, images = network(case, "TokenPose", tokenpose_config(case)), case.inputs("image")
    output = model(images)
    stem = [case.compare("stem_features", model.stem(images))] if model.config.stem_widths else []
    tokens = [case.compare(f"tokens_stack{number}", one) for number, one in enumerate(output.keypoint_tokens, start=1)]
    return [*stem, *tokens, case.compare("heatmaps", output.heatmaps)]


@torch.inference_mode()
def check_backbone(case: Case) -> list[Comparison]:
    """Compare features of SimpleBaseline, or of the finest branch of HRNet and HRFormer, and heatmaps.

    Notes of HRFormer's cases speak of a position bias, but their numbers are those of the code, which leaves it out.
    """
    config = case.configuration(systems()[case.system].config)
    model, images = network(case, case.system, config), case.inputs("image")
    return [case.compare("features", model.backbone(images)), case.compare("heatmaps", model(images).heatmaps)]
