"""What the accuracy of a spec's rows needs at a tier whose weights are trained elsewhere: data, weights, hours.

Nothing is measured, trained or fetched here, and torch is not imported.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.cells.cells import at_tier, learnt_with, model_identity, weights_name
from experiments.spec.catalog import Blocked, Catalog, brief, open_catalog
from experiments.spec.spec import MEAN_POSE, LoadedSpec, Settings, load_specs
from experiments.spec.tiers import SharedBudget
from results.store import Store, canonical
from sharpose.runtime.errors import InputError
from sharpose.training.recipe import load_recipe, own_recipe

# people of a set that models learn from, and the crops that are looked at to judge one, by kind of boxes
PEOPLE = {"coco-train": 149_813, "mpii-train": 22_246, "photos-train": 21_458}
LOOK_AT = {
    "coco-val": {"ground-truth": 6_352, "detections": 104_125},
    "mpii-val": {"ground-truth": 2_958},
    # with the people of the columns beside it
    "photos-val": {"ground-truth": 398 + 73 + 80 + 500},
}

GPU_MACS_PER_S = 20e12
"""Multiply-adds that a GPU is taken to sustain, in mixed precision; no stored throughput says so."""
STEP_FORWARDS = 3
"""A training step is taken to cost three forward passes: forward, and backward through inputs and weights."""


@dataclass(frozen=True)
class Need:
    """What the rows that share weights need. Hours are None where nothing stored says how much a model costs.

    device_hours: by the fastest stored throughput on the chosen kind of device, whose name is `device`.
    """

    weights: str
    rows: list[str]
    recipe: str | None
    starts_from: str | None
    epochs: float | None
    gpu_hours: float | None
    device_hours: float | None
    device: str | None
    evaluation_gpu_hours: float | None
    there: list[str]
    missing: list[str]
    command: str | None


def plan(
    names: Iterable[str | Path] = (),
    *,
    tier: str = "paper",
    device: str = "cpu",
    coco: Path | None = None,
    store: Store | None = None,
) -> list[Need]:
    """The needs of every set of weights that the specs' accuracy rows ask for, in their order. Raises InputError."""
    catalog, store = open_catalog(tier, coco), store or Store()
    if catalog.tier.models is not None and catalog.tier.folder is None:
        raise InputError(
            f"--plan: all of tier {tier} ships, and `sharpose run` measures it; give --tier photos, small or paper"
        )
    groups: dict[tuple[str, str], list[tuple[str, Any]]] = {}
    for loaded in load_specs(names, tier):
        for label, named in accuracy_rows(loaded):
            try:
                settings = stand_ins(named, catalog)
            # nothing to plan where the tier has no stand-in
            except Blocked:
                continue
            key = weights_name(settings.model, settings.options), settings.dataset
            groups.setdefault(key, []).append((label, settings))
    return [need(weights, rows, catalog, store, device) for (weights, _), rows in groups.items()]


def stand_ins(settings: Settings, catalog: Catalog) -> Settings:
    """A row's settings with what stands for its model and people at the tier. Raises Blocked where nothing does."""
    model, people = catalog.stand_in("model", settings.model), catalog.stand_in("dataset", settings.dataset)
    return replace(at_tier(settings, catalog), model=model, dataset=people)


def accuracy_rows(loaded: LoadedSpec) -> list[tuple[str, Any]]:
    """Label and settings of every row with an accuracy to be had from trained weights."""
    rows = [(row, loaded.settings(row)) for row in loaded.spec.rows if "accuracy" in loaded.measures(row)]
    return [(f"{loaded.id} {row.label}", settings) for row, settings in rows if settings.model != MEAN_POSE]


def need(weights: str, rows: Sequence[tuple[str, Any]], catalog: Catalog, store: Store, device: str) -> Need:
    """What one set of weights, and the rows that use it, need."""
    first = rows[0][1]
    path = catalog.weights_path(weights, "best" if catalog.tier.folder is None else first.weights)
    there, missing = data_paths(catalog, first.dataset, {settings.boxes for _, settings in rows})
    learnt, shared = learnt_with(first.options), shared_budget(catalog)
    own = own_recipe(first.model, learnt.get("codec", "")) if shared is None else shared.recipe
    name = None if path.exists() else own
    recipe = None if name is None else load_recipe(name)
    (there if path.exists() else missing).append(f"weights {brief(path)}")
    macs, speed, where = stored_costs(store, [settings for _, settings in rows], device)
    passes = (
        0.0
        if recipe is None
        else recipe.epochs * PEOPLE.get(catalog.dataset(first.dataset).training or "", 0) * STEP_FORWARDS
    )
    if recipe is not None and shared is not None and shared.learning_rates is not None:
        passes += shared.learning_rates.crops * len(shared.learning_rates.values) * STEP_FORWARDS
    looks = sum(looked_at(settings) for _, settings in rows)
    command = None
    if recipe is not None and shared is not None:
        if weights not in shared.trainings:
            missing.append(f"{weights} is not among what the tier trains (add it to {catalog.places.tiers.name})")
        elif shared.trainings[weights].start and not catalog.weights_path(shared.start or "", "shared").exists():
            missing.append(f"start weights: {recipe.starts_from} (train-missing --start FILE)")
        command = shlex.join(["sharpose", "train-missing", "--tier", catalog.name, "--only", weights])
    elif recipe is not None and name is not None:
        start = recipe.starts_from not in (None, "random weights")
        if start:
            missing.append(f"start weights: {recipe.starts_from} (sharpose import makes them safetensors)")
        words = ["--recipe", name] if name != own_recipe(first.model) else []
        if any(recipe.model_options.get(key) != value for key, value in learnt.items()):
            words += ["--set", "model_options=" + json.dumps({**recipe.model_options, **learnt})]
        words += ["--init", "START.safetensors"] if start else []
        command = train_command(weights, first.model, catalog, first.dataset, words)
    return Need(
        weights=weights,
        rows=[label for label, _ in rows],
        recipe=name,
        starts_from=None if recipe is None else recipe.starts_from or ("random weights" if shared else None),
        epochs=None if recipe is None else recipe.epochs,
        gpu_hours=None if macs is None else passes * macs / GPU_MACS_PER_S / 3600,
        device_hours=None if speed is None else passes / speed / 3600,
        device=where,
        evaluation_gpu_hours=None if macs is None else looks * macs / GPU_MACS_PER_S / 3600,
        there=there,
        missing=missing,
        command=command,
    )


def shared_budget(catalog: Catalog) -> SharedBudget | None:
    """The budget by which all of a tier's weights are trained; None where systems have recipes of their own."""
    return None if catalog.tier.folder is None else catalog.tier.shared


def data_paths(catalog: Catalog, name: str, boxes: set[str]) -> tuple[list[str], list[str]]:
    """The files that evaluating on a data set and training for it take: those that are there, and the others."""
    data = catalog.dataset(name)
    withheld = [] if data.unavailable is None else [f"{name}: {data.unavailable}"]
    wanted = [path for part, path in data.paths.items() if part != "detections" or "detections" in boxes]
    if data.training is not None:
        wanted += [path for part, path in catalog.dataset(data.training).paths.items() if part != "detections"]
    root = catalog.folder(name)
    paths = [path if root is None else str(root / path) for path in dict.fromkeys(wanted)]
    sources = () if data.training is None else catalog.dataset(data.training).sources
    around = catalog.places.photos
    paths += [path if around is None else str(around / path) for path in sources]
    there = [path for path in paths if Path(path).is_absolute() and Path(path).exists()]
    return there, withheld + [path for path in paths if path not in there]


def stored_costs(store: Store, settings: Sequence[Any], device: str) -> tuple[float | None, float | None, str | None]:
    """The dearest row's multiply-adds, the slowest row's best images/s on a kind of device, and that device."""
    macs: list[float] = []
    speeds: list[tuple[float, str]] = []
    # as a record reads it back: tuples are lists there
    identities = [canonical(model_identity(one.model, one.options)) for one in settings]
    costs, throughputs = store.records("cost"), store.records("throughput")
    for identity in identities:
        macs += [float(r.metrics["macs_fvcore"]) for r in costs if canonical(r.identity.get("model")) == identity]
        timed = [
            (float(r.metrics["images_per_s"]), str(r.provenance.get("device")))
            for r in throughputs
            if canonical(r.identity.get("model")) == identity
            and r.provenance.get("device_kind") == device.split(":")[0]
        ]
        speeds += [max(timed)] if timed else []
    speed, where = min(speeds, default=(None, None))
    return max(macs, default=None), speed, where


def looked_at(settings: Any) -> int:
    """Crops that go through the model to judge a row; 0 where their number is not known here."""
    return LOOK_AT.get(settings.dataset, {}).get(settings.boxes, 0) * (2 if settings.flip_test else 1)


def train_command(weights: str, model: str, catalog: Catalog, dataset: str, words: Sequence[str]) -> str | None:
    """How the weights are trained, with more `words`; None where the data set has no training set."""
    training = catalog.dataset(dataset).training
    if training is None:
        return None
    paths, root = catalog.dataset(training).paths, catalog.folder(training)
    root = root or Path(catalog.dataset(training).folder.upper())
    data = ["--data", str(root / paths["annotations"]), "--images", str(root / paths["images"])]
    return shlex.join(["sharpose", "train", "--model", model, *data, "--out", f"runs/{weights}", *words])


def as_dict(needs: Sequence[Need]) -> dict[str, Any]:
    """For `--json`: the needs, and what was assumed."""
    assumed = {"gpu_macs_per_s": GPU_MACS_PER_S, "forward_passes_per_step": STEP_FORWARDS}
    return {"assumed": assumed, "needs": [asdict(one) for one in needs]}


def lines(needs: Sequence[Need]) -> list[str]:
    """For people: one paragraph for each set of weights, then the sums and the assumptions."""
    text: list[str] = []
    for one in needs:
        text += [f"{one.weights}: for {', '.join(one.rows)}"]
        if one.recipe is not None:
            text += [f"  train by recipe {one.recipe}, {one.epochs:g} epochs, from {one.starts_from}: {hours(one)}"]
        text += (
            [f"  evaluate all rows: {amount(one.evaluation_gpu_hours)} GPU hours"] if one.evaluation_gpu_hours else []
        )
        text += [f"  there:   {'; '.join(one.there)}"] if one.there else []
        text += [f"  MISSING: {'; '.join(one.missing)}"] if one.missing else []
        text += [f"  {one.command}"] if one.command else []
    total = sum(one.gpu_hours or 0 for one in needs)
    unknown = sum(one.gpu_hours is None for one in needs)
    text += [
        f"{len(needs)} sets of weights, {sum(bool(one.missing) for one in needs)} with something missing; "
        f"{amount(total)} GPU hours of training" + (f", and {unknown} of unknown cost" if unknown else ""),
        f"Assumed: a GPU sustains {GPU_MACS_PER_S:.0e} multiply-adds a second, a step costs {STEP_FORWARDS} forward "
        "passes, crops are ready in time; multiply-adds and speeds are those stored. Nothing was started.",
    ]
    return text


def hours(one: Need) -> str:
    """Return the hours of a training as text: of the assumed GPU and, where its speed is stored, of the device."""
    told = f"{amount(one.gpu_hours)} GPU hours"
    return told if one.device_hours is None else f"{told}, {amount(one.device_hours)} on {one.device}"


def amount(value: float | None) -> str:
    """Return a number in two digits, or as a whole number from 10 on; `unknown` for None."""
    return "unknown" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
