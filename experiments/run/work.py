"""How much work trainings and evaluations are, by calculation: crops times multiply-adds. Nothing here was measured.

A training is counted once, whichever tables and rows its weights serve. Multiply-adds come from the closed forms, of
the α that it is trained with; of an elastic training, the mean over those that are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from experiments.cells.cells import model_identity
from experiments.spec.spec import Settings
from results.records import canonical
from results.store import Store
from sharpose.models.registry import recorded_cost, resolve_config
from sharpose.training.recipe import Recipe

PEOPLE = {"coco-train": 149_813, "mpii-train": 22_246, "photos-train": 21_458}
"""Labelled people of a set that models learn from."""
EVALUATED = {
    # people whom COCO has labelled, and the boxes of the val2017 detections (AP 56.4) that all papers use
    "coco-val": {"ground-truth": 6_352, "detections": 104_125},
    "mpii-val": {"ground-truth": 2_958},
    # with the people of the columns beside it
    "photos-val": {"ground-truth": 398 + 73 + 80 + 500},
}
"""Crops in an evaluation of a row, by kind of boxes."""
STEP_FORWARDS = 3
"""A training step is taken to cost three forward passes: forward, and backward through inputs and weights."""
PEAK, UTILISATION = {"H100": 989e12, "A100": 312e12}, 0.2
"""Dense bf16 operations a second of the data sheet, and the share of them that is assumed."""
OPERATIONS = 2
"""A multiply-add is two operations."""


def gpu_hours(macs: float) -> dict[str, float]:
    """Return hours that so many multiply-adds take, by kind of GPU, on one."""
    return {name: OPERATIONS * macs / (peak * UTILISATION) / 3600 for name, peak in PEAK.items()}


def macs_of(model: str, options: Mapping[str, Any], store: Store) -> float | None:
    """Return multiply-adds of one crop, all refined: by the closed form, else as stored; None where neither knows."""
    identity = model_identity(model, dict(options))
    cost = recorded_cost(identity)
    if cost is not None:
        return float(cost.macs)
    wanted = canonical(identity)
    stored = [one.metrics["macs_fvcore"] for one in store.records("cost") if one.identity.get("model") == wanted]
    return float(stored[0]) if stored else None


@dataclass(frozen=True)
class TrainingWork:
    """One training: crops that go through it, trials of learning rates included, and multiply-adds of one crop."""

    crops: float
    macs_per_crop: float | None

    @property
    def macs(self) -> float | None:
        """Return the multiply-adds of all steps, backward passes included."""
        return None if self.macs_per_crop is None else STEP_FORWARDS * self.crops * self.macs_per_crop


def training_work(
    model: str, options: Mapping[str, Any], recipe: Recipe, people: int, more_crops: float, store: Store
) -> TrainingWork:
    """Return the work of one training of `model` with the options that it learns with."""
    # a recipe for all systems of a tier draws α for those that have one
    alphas = recipe.alphas if hasattr(resolve_config(model), "alpha") else ()
    drawn = [macs_of(model, {**options, "alpha": alpha}, store) for alpha in alphas]
    known = [macs for macs in drawn if macs is not None]
    macs = mean(known) if known else macs_of(model, options, store)
    return TrainingWork(recipe.epochs * people + more_crops, macs)


def evaluated_crops(settings: Settings) -> int:
    """Return crops that go through the model to judge a row; 0 where their number is not known here."""
    return EVALUATED.get(settings.dataset, {}).get(settings.boxes, 0) * (2 if settings.flip_test else 1)


def evaluation_macs(rows: Sequence[Settings], store: Store) -> float | None:
    """Return multiply-adds of judging rows once, each at its own α; None where one is of unknown cost."""
    passes = [(evaluated_crops(row), macs_of(row.model, row.options, store)) for row in rows]
    return None if any(macs is None for _, macs in passes) else sum(crops * (macs or 0) for crops, macs in passes)
