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
    model = SimpleBaseline(case.configuration(SimpleBaselineConfig))
    eval_mode(model, from_layout(case.weights, "SimpleBaseline", "mmpose"))
    images = case.inputs("image")
    return [case.compare("features", model.backbone(images)), case.compare("heatmaps", model(images).heatmaps)]
