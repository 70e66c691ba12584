"""Check of SimpleBaseline against the numbers of its public reference."""

from __future__ import annotations

import torch

from experiments.conformance.case import Case, Comparison, eval_mode
from sharpose.models.simple_baseline.config import SimpleBaselineConfig
from sharpose.models.simple_baseline.model import SimpleBaseline
from sharpose.weights.importing import from_layout


@torch.inference_mode()
def check_simple_baseline(case: Case) -> list[Comparison]:
    """ResNet features and heatmaps."""
    facts = case.config
    config = SimpleBaselineConfig(
        image_size=tuple(facts["image_size"]),
        heatmap_size=tuple(facts["heatmap_size"]),
        resnet_depth=facts["resnet_depth"],
        stem_channels=facts["stem_channels"],
        base_channels=facts["base_channels"],
        deconv_filters=tuple(facts["deconv_filters"]),
        num_keypoints=facts["num_keypoints"],
    )
    model = SimpleBaseline(config)
    eval_mode(model, from_layout(case.weights, "SimpleBaseline", "mmpose"))
    images = case.inputs("image")
    return [case.compare("features", model.backbone(images)), case.compare("heatmaps", model(images).heatmaps)]
