"""One closed form per system: parameters and multiply-adds from a configuration alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from analysis import closed_form, closed_form_cnn, closed_form_vit
from analysis.closed_form_cnn import Config, Cost


def sharpose(config: Config, executed: bool = False) -> Cost:
    """Both stages, every image refined."""
    total = closed_form.macs(config, executed)["total"]
    return Cost(total.macs, total.elements, closed_form.parameters(config))


# by the name of the configuration's class without `Config`, which records hold under `system`
SYSTEMS: dict[str, Callable[..., Cost]] = {
    "SHaRPose": sharpose,
    "ViTPose": closed_form_vit.vitpose,
    "KeypointViT": closed_form_vit.keypoint_vit,
    "DynamicViT": closed_form_vit.dynamicvit,
    "EViT": closed_form_vit.evit,
    "ToMe": closed_form_vit.tome,
    "SimpleBaseline": closed_form_cnn.simple_baseline,
    "HRNet": closed_form_cnn.hrnet,
    "HRFormer": closed_form_cnn.hrformer,
    "TokenPose": closed_form_cnn.tokenpose,
    "Okdhp": closed_form_cnn.okdhp,
}

# whose formulas tell what is executed from what is published
THRIFTY = ("SHaRPose", "KeypointViT", "DynamicViT", "EViT", "ToMe")


def cost(system: str, config: Config) -> Cost:
    """The cost of one image. Raises KeyError for a system without a closed form."""
    return SYSTEMS[system](config)


def executed(system: str, config: Config) -> Cost:
    """What is computed of it: `cost` without what no result depends on."""
    formula = SYSTEMS[system]
    return formula(config, True) if system in THRIFTY else formula(config)


def disagreement(model: Config, metrics: Mapping[str, Any]) -> float:
    """The largest relative difference between the closed form of a record's `model` and its counters, as a fraction."""
    return closed_form_cnn.disagreement(cost(model["system"], model), metrics)


def executed_disagreement(model: Config, metrics: Mapping[str, Any]) -> float:
    """The same for what is executed."""
    counted = {name: metrics[f"{name}_executed"] for name in ("macs_torch", "macs_fvcore")}
    return closed_form_cnn.disagreement(executed(model["system"], model), {**counted, "params": metrics["params"]})
