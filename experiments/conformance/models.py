"""Checks of whole models against the numbers of their public reference."""

from __future__ import annotations

from typing import Any

import torch

from experiments.conformance.case import Case, Comparison, eval_mode
from sharpose.models.config import check
from sharpose.models.sharpose.config import SHaRPoseConfig
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import SHaRPoseOutput
from sharpose.weights.importing import from_layout

HEADS = {"single": "single", "two_layer": "two-layer"}


def sharpose_config(case: Case, variant: dict[str, Any]) -> SHaRPoseConfig:
    """The release's semantics with the sizes of the case and the alpha and threshold of one of its variants."""
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
    """Coarse and final heatmaps, tokens, quality, relevance, selected patches and refinement of every variant."""
    images, comparisons = case.inputs("image"), []
    for index, variant in enumerate(case.config["variants"]):
        model = eval_mode(SHaRPose(sharpose_config(case, variant)), from_layout(case.weights, "SHaRPose", "release"))
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
