"""Checks of TokenPose, on raw pixels (T) and on an HRNet stem (L), against the numbers of its public reference."""

from __future__ import annotations

import torch

from experiments.conformance.case import Case, Comparison, eval_mode
from sharpose.models.tokenpose.config import TokenPoseConfig
from sharpose.models.tokenpose.model import TokenPose
from sharpose.weights.importing import from_layout

HEADS = {"single": "single", "two_layer": "two-layer"}


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
    """Stem features where there is a stem, keypoint tokens after every stack, and heatmaps."""
    model = TokenPose(tokenpose_config(case))
    eval_mode(model, from_layout(case.weights, "TokenPose", "official"))
    images = case.inputs("image")
    output = model(images)
    stem = [case.compare("stem_features", model.stem(images))] if model.config.stem_widths else []
    tokens = [case.compare(f"tokens_stack{number}", one) for number, one in enumerate(output.keypoint_tokens, start=1)]
    return [*stem, *tokens, case.compare("heatmaps", output.heatmaps)]
