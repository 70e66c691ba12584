"""Check of ViTPose against the numbers of its public reference."""

from __future__ import annotations

import torch

from experiments.conformance.case import Case, Comparison, eval_mode
from sharpose.models.vitpose.config import ViTPoseConfig
from sharpose.models.vitpose.model import ViTPose
from sharpose.weights.importing import from_layout


def vitpose_config(case: Case) -> ViTPoseConfig:
    """The sizes of the case."""
    facts = case.config
    upsample = facts["heatmap_size"][0] // facts["grid"][0]
    return case.configuration(ViTPoseConfig, upsample=upsample, norm_eps=facts["layernorm_eps"], drop_path=0.0)


@torch.inference_mode()
def check_vitpose(case: Case) -> list[Comparison]:
    """Tokens after position, features and heatmaps."""
    model = ViTPose(vitpose_config(case))
    eval_mode(model, from_layout(case.weights, "ViTPose", "mmpose 0.x"))
    images = case.inputs("image")
    output = model(images)
    return [
        case.compare("tokens_before_blocks", model.embed(images)),
        case.compare("features", output.features),
        case.compare("heatmaps", output.heatmaps),
    ]
