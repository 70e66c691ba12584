"""Checks of optimiser groups and learning rates against the reference's."""

from __future__ import annotations

import torch

from experiments.conformance.case import Case, Comparison
from sharpose.models.hrformer.config import HRFormerConfig
from sharpose.models.hrformer.model import HRFormer
from sharpose.training.optim import learning_rate, parameter_rule
from sharpose.training.recipe import Recipe
from sharpose.weights.importing import from_layout


def check_parameter_groups(case: Case) -> list[Comparison]:
    """Compare learning-rate multiplier and weight decay of every parameter, under our names where ours differ."""
    facts, bound = case.config, case.tolerance["relative"]
    comparisons = []
    for name, expected in case.expected.items():
        ours = next(iter(from_layout({name: None}, "SHaRPose", "release")))  # type: ignore[dict-item]
        rule = parameter_rule(
            ours, len(expected["shape"]), facts["depth"], facts["layer_decay_rate"], facts["base_weight_decay"]
        )
        comparisons += [
            Comparison(f"{name} lr_scale", abs(rule.lr_scale / expected["lr_scale"] - 1), bound),
            Comparison(f"{name} weight_decay", abs(rule.weight_decay - expected["weight_decay"]), bound),
        ]
    return comparisons


def check_hrformer_decay(case: Case) -> list[Comparison]:
    """Compare how many parameters there are, and the learning rate and weight decay of each."""
    facts, expected = case.config, case.expected
    with torch.device("meta"):
        model = HRFormer(case.configuration(HRFormerConfig))
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


def check_learning_rates(case: Case) -> list[Comparison]:
    """Compare the learning rate of every listed iteration, for each parameter group's base value."""
    facts = case.config
    comparisons = []
    for group, base in enumerate(facts["base_learning_rates"]):
        recipe = Recipe(
            learning_rate=base,
            epochs=facts["epochs"],
            milestones=tuple(facts["steps"]),
            gamma=facts["gamma"],
            warmup_iterations=facts["warmup_iterations"],
            warmup_ratio=facts["warmup_ratio"],
        )
        for _, iteration, *rates in case.expected["rows"]:
            ours = learning_rate(recipe, iteration, facts["iterations_per_epoch"])
            error = abs(ours / rates[group] - 1)
            comparisons.append(Comparison(f"iteration {iteration} group {group}", error, case.tolerance["relative"]))
    return comparisons
