"""Checks of HRNet and HRFormer against the numbers of their public references."""

from __future__ import annotations

import torch

from experiments.conformance.case import Case, Comparison, eval_mode
from sharpose.models.hrformer.config import HRFormerConfig
from sharpose.models.hrformer.model import HRFormer
from sharpose.models.hrnet.config import HRNetConfig
from sharpose.models.hrnet.model import HRNet
from sharpose.training.optim import parameter_rule
from sharpose.weights.importing import from_layout


def hrformer_config(case: Case) -> HRFormerConfig:
    """The cases' notes speak of a position bias, but their numbers are those of the code, which leaves it out."""
    return case.configuration(HRFormerConfig)


def check_hrnet(case: Case) -> list[Comparison]:
    """Features of the finest branch, and heatmaps."""
    return check_trunk(case, HRNet(case.configuration(HRNetConfig)), "HRNet", "mmpose")


def check_hrformer(case: Case) -> list[Comparison]:
    """Features of the finest branch, and heatmaps."""
    return check_trunk(case, HRFormer(hrformer_config(case)), "HRFormer", "official")


@torch.inference_mode()
def check_trunk(case: Case, model: HRNet | HRFormer, system: str, layout: str) -> list[Comparison]:
    """Return the comparisons of features and heatmaps, with the case's weights read by a `layout` of the system."""
    eval_mode(model, from_layout(case.weights, system, layout))
    images = case.inputs("image")
    return [case.compare("features", model.backbone(images)), case.compare("heatmaps", model(images).heatmaps)]


def check_hrformer_decay(case: Case) -> list[Comparison]:
    """How many parameters there are, and the learning rate and weight decay of each."""
    facts, expected = case.config, case.expected
    with torch.device("meta"):
        model = HRFormer(hrformer_config(case))
    names = dict(model.named_parameters()).keys()
    exceptions = from_layout(dict.fromkeys(expected["exceptions"]), "HRFormer", "official")  # type: ignore[arg-type]
    settings = dict(zip(exceptions, expected["exceptions"].values(), strict=True))
    comparisons = [
        Comparison("number of parameters", abs(len(names) - expected["total"]), 0.0),
        Comparison("exceptions that we do not have", len(settings.keys() - names), 0.0),
    ]
    for name, parameter in model.named_parameters():
        wanted = settings.get(name, expected["all_others"])
        rule = parameter_rule(name, parameter.ndim, 0, 1.0, facts["base_weight_decay"], HRFormer.without_decay)
        rate = rule.lr_scale * facts["base_learning_rate"]
        bound = case.tolerance["relative"]
        comparisons += [
            Comparison(f"{name} weight_decay", abs(rule.weight_decay - wanted["weight_decay"]), bound),
            Comparison(f"{name} learning_rate", abs(rate / wanted["learning_rate"] - 1), bound),
        ]
    return comparisons
