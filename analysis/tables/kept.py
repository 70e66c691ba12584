"""Refined patches per person and what they cost; with `alpha_mass` their number differs between images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.tables.lines import Line
from experiments.spec.spec import LoadedSpec
from sharpose.models.layers.cost import Cost
from sharpose.models.registry import closed_form, resolve_config, restore


def kept_people(line: Line) -> dict[int, int] | None:
    """Return how many people were refined with how many patches, from a row's accuracy; None where it has none.

    Where all take the same number, that follows from the configuration, as in records from before it was counted.
    """
    record = line.records.get("accuracy")
    if record is None or record.metrics.get("refine_rate") is None:
        return None
    model, metrics = record.identity["model"], record.metrics
    if metrics.get("kept_patches"):
        return {int(number): people for number, people in metrics["kept_patches"].items()}
    refined = round(metrics["refine_rate"] * metrics["people"])
    config = restore(model)
    if config is None or getattr(config, "stages", None) != "coarse-fine" or not refined:
        return None
    return {config.num_keep(): refined}


def mean_kept(line: Line) -> float | None:
    """Return the mean number of refined patches per refined person."""
    kept = kept_people(line)
    return None if kept is None else sum(number * people for number, people in kept.items()) / sum(kept.values())


def expected_macs(loaded: LoadedSpec, line: Line) -> float | None:
    """Return multiply-adds per person of the row's model, with as many refined patches as for its accuracy.

    None where nothing was measured, or the model has other numbers of patches than the one that stands for it.
    """
    kept, settings = kept_people(line), loaded.settings(line.row)
    if kept is None:
        return None
    record = line.records["accuracy"]
    config, measured = resolve_config(settings.model, **settings.options), restore(record.identity["model"])
    if measured is None or config.num_coarse != measured.num_coarse:
        return None
    return expected_macs_of(config, kept, record.metrics["people"])


def expected_macs_of(config: Any, kept: Mapping[int, int], people: int) -> float:
    """Return multiply-adds per person, as published, by fvcore's convention.

    kept: people who are refined, by their number of patches; everybody else exits early.
    """
    fine = sum(number * parts(config, patches)["fine"].fvcore for patches, number in kept.items())
    return parts(config)["coarse"].fvcore + fine / people


def parts(config: Any, keep: int | None = None) -> Mapping[str, Cost]:
    """Return the closed form's stages, where so many patches are refined."""
    cost = closed_form(config, keep=keep)
    assert cost is not None, "what was refined has two stages"
    return cost.parts
