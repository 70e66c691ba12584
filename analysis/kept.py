"""How many patches people were looked at finely, and what that costs: each image may take its own number."""

from __future__ import annotations

from analysis import closed_form
from analysis.lines import Line
from experiments.spec import LoadedSpec
from sharpose.models.registry import describe, resolve_config


def kept_people(line: Line) -> dict[int, int] | None:
    """How many people were refined with how many patches, from a row's accuracy; None where it has none.

    Where all take the same number, that follows from the configuration, as in records from before it was counted.
    """
    record = line.records.get("accuracy")
    if record is None or record.metrics.get("refine_rate") is None:
        return None
    model, metrics = record.identity["model"], record.metrics
    if metrics.get("kept_patches"):
        return {int(number): people for number, people in metrics["kept_patches"].items()}
    refined = round(metrics["refine_rate"] * metrics["people"])
    if model.get("system") != "SHaRPose" or model["stages"] != "coarse-fine" or not refined:
        return None
    return {closed_form.sizes(model).keep: refined}


def mean_kept(line: Line) -> float | None:
    """Patches per person who was looked at again."""
    kept = kept_people(line)
    return None if kept is None else sum(number * people for number, people in kept.items()) / sum(kept.values())


def expected_macs(loaded: LoadedSpec, line: Line) -> float | None:
    """Multiply-adds per person of the row's model, with as many refined patches as its accuracy was measured with.

    None where nothing was measured, or the model has other numbers of patches than the one that stands for it.
    """
    kept, settings = kept_people(line), loaded.settings(line.row)
    if kept is None:
        return None
    record = line.records["accuracy"]
    model = describe(resolve_config(settings.model, **settings.options))
    patches = [closed_form.sizes(config).coarse_patches for config in (model, record.identity["model"])]
    return closed_form.expected(model, kept, record.metrics["people"]) if patches[0] == patches[1] else None
