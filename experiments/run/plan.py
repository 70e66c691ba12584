"""What the accuracy of a spec's rows needs at a tier whose weights are trained elsewhere: data, weights, hours.

Nothing is measured, trained or fetched here, and torch is not imported.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.cells.cells import alpha_apart, at_tier, learnt_with, model_identity, row_weights_name
from experiments.run.work import (
    PEAK,
    PEOPLE,
    STEP_FORWARDS,
    UTILISATION,
    TrainingWork,
    evaluation_macs,
    gpu_hours,
    training_work,
)
from experiments.spec.catalog import Blocked, Catalog, brief, open_catalog
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec, Settings, is_ours
from results.records import Record, canonical
from results.store import Store
from sharpose.models.registry import resolve_config, system_of
from sharpose.models.system import load
from sharpose.training.recipe import Recipe, load_recipe, own_recipe

PROCESSES, WORKERS, PRECISION = 4, 8, "bf16"
"""Of the printed command: GPUs of one machine, processes that prepare crops for each, and the precision."""
PUBLIC_STARTS = (
    (r"ViT-B, pretrained by MAE on ImageNet", "timm:vit_base_patch16_224.mae"),
    (r"ViT-L, pretrained by MAE on ImageNet", "timm:vit_large_patch16_224.mae"),
    (r"ViT-H, pretrained by MAE on ImageNet", "timm:vit_huge_patch14_224.mae"),
    (r"-w48-.*HRNet.*ImageNet|^transpose-h-.*HRNet.*ImageNet", "timm:hrnet_w48.ms_in1k"),
    (r"-w32-.*HRNet.*ImageNet", "timm:hrnet_w32.ms_in1k"),
    (r"-r152-.*ResNet.*ImageNet", "timm:resnet152.tv_in1k"),
    (r"ResNet-50.*ImageNet", "timm:resnet50.tv_in1k"),
)
"""Public weights that trainings start from, by a pattern of the model's name and its recipe's `starts_from`.

The first that fits is meant."""
Rows = list[tuple[str, Settings]]


@dataclass(frozen=True)
class Need:
    """What the rows that share weights need. Amounts are None where nothing says how much a model costs.

    crops, training_macs: of the training, if there is one to do. device_hours: by the fastest stored throughput on the
    chosen kind of device, whose name is `device`. start_command: makes the weights that `command` starts from.
    """

    weights: str
    rows: list[str]
    recipe: str | None
    starts_from: str | None
    epochs: float | None
    crops: float
    training_macs: float | None
    evaluation_macs: float | None
    device_hours: float | None
    device: str | None
    there: list[str]
    data_missing: list[str]
    missing: list[str]
    start_command: str | None
    command: str | None

    @property
    def gpu_hours(self) -> dict[str, float] | None:
        """Return hours of training by kind of GPU."""
        return None if self.training_macs is None else gpu_hours(self.training_macs)


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
    timed = [one for one in store.records("throughput") if one.provenance.get("device_kind") == device.split(":")[0]]
    found = rows_by_weights(load_specs(names, tier), catalog)
    return [need(weights, rows, catalog, store, timed) for weights, rows in found.items()]


def rows_by_weights(specs: Iterable[LoadedSpec], catalog: Catalog) -> dict[str, Rows]:
    """Label and settings of the specs' rows by the name of their weights: a training stands once, whatever it serves.

    Rows are those with an accuracy, or predictions, to be had from trained weights, with what stands for their models
    and people at the tier.
    """
    found: dict[str, Rows] = {}
    for loaded in specs:
        for row in loaded.spec.rows:
            named, judged = loaded.settings(row), {"accuracy", "predictions"} & set(loaded.measures(row))
            if not judged or not is_ours(named.model):
                continue
            try:
                model, people = catalog.stand_in("model", named.model), catalog.stand_in("dataset", named.dataset)
            # nothing to plan where the tier has no stand-in
            except Blocked:
                continue
            settings = replace(at_tier(named, catalog), model=model, dataset=people)
            own = settings.weights
            name = row_weights_name(model, settings, catalog) if own is None else brief(own)
            found.setdefault(name, []).append((f"{loaded.id} {row.label}", settings))
    return found


def need(weights: str, rows: Rows, catalog: Catalog, store: Store, timed: Sequence[Record] = ()) -> Need:
    """What one set of weights, and the rows that use it, need. timed: the speeds to expect, of one kind of device."""
    settings = [each for _, each in rows]
    first = settings[0]
    path = first.weights or catalog.weights_path(weights)
    there, absent = data_paths(catalog, rows)
    missing: list[str] = []
    (there if path.exists() else missing).append(f"weights {brief(path)}")
    learnt, shared = learnt_options(first, catalog), catalog.tier.shared
    own = own_recipe(first.model, learnt.get("codec", "")) if shared is None else shared.recipe
    name = None if path.exists() else own
    changes = shared.trainings[weights].recipe if shared is not None and weights in shared.trainings else {}
    recipe = None if name is None else load_recipe(name).model_copy(update=changes)
    work = TrainingWork(0.0, 0.0)
    if recipe is not None:
        people = max((PEOPLE.get(training, 0) for training in trainings(catalog, rows)), default=0)
        rates = None if shared is None else shared.learning_rates
        tried = 0.0 if rates is None else rates.crops * len(rates.values)
        work = training_work(first.model, {**catalog.tier.options, **learnt}, recipe, people, tried, store)
    told, command = how_to_train(weights, rows, name, recipe, catalog)
    start = public_start(recipe) if shared is None and command is not None else None
    speed, where = stored_speed(timed, settings)
    return Need(
        weights=weights,
        rows=[label for label, _ in rows],
        recipe=name,
        starts_from=None if recipe is None else recipe.starts_from or ("random weights" if shared else None),
        epochs=None if recipe is None else recipe.epochs,
        crops=work.crops,
        training_macs=work.macs,
        evaluation_macs=evaluation_macs(settings, store),
        device_hours=None if speed is None else STEP_FORWARDS * work.crops / speed / 3600,
        device=where,
        there=there,
        data_missing=absent,
        missing=missing + told,
        start_command=None if start is None else start_command(first.model, start),
        command=command,
    )


def learnt_options(settings: Settings, catalog: Catalog) -> dict[str, Any]:
    """Return what a row's network must learn with, where that is not what its model has anyway."""
    alpha = alpha_apart(settings.model, settings.options) if catalog.tier.each_alpha else None
    return {**learnt_with(settings.options), **({} if alpha is None else {"alpha": alpha})}


def trainings(catalog: Catalog, rows: Rows) -> list[str]:
    """Return the data sets that models of these rows learn from."""
    names = [catalog.dataset(settings.dataset).training for _, settings in rows]
    return list(dict.fromkeys(name for name in names if name is not None))


def how_to_train(
    weights: str, rows: Rows, name: str | None, recipe: Recipe | None, catalog: Catalog
) -> tuple[list[str], str | None]:
    """What a training lacks beside data, and its command; None where there is nothing to train, or no data for it."""
    shared, model = catalog.tier.shared, rows[0][1].model
    if recipe is None or name is None:
        return [], None
    if shared is not None:
        lacking = []
        if weights not in shared.trainings:
            lacking.append(f"{weights} is not among what the tier trains (add it to {catalog.places.tiers.name})")
        elif shared.trainings[weights].start and not catalog.start_path().exists():
            lacking.append(f"start weights: {recipe.starts_from} (train-missing --start FILE)")
        return lacking, shlex.join(["sharpose", "train-missing", "--tier", catalog.name, "--only", weights])
    if (training := rows[0][1].training) is not None:
        return [f"how `training: {training}` differs is said by no tier with a shared budget"], None
    start, learnt = public_start(recipe), learnt_options(rows[0][1], catalog)
    lacking = []
    if start is not None:
        how = "sharpose import makes them" if start_command(model, start) else "no file of these can be imported yet"
        lacking = [f"start weights: {start} ({how}: {start_file(model)})"]
    words = ["--recipe", name] if name != own_recipe(model) else []
    if any(recipe.model_options.get(key) != value for key, value in learnt.items()):
        words += ["--set", "model_options=" + json.dumps({**recipe.model_options, **learnt})]
    words += [] if start is None else ["--init", start_file(model)]
    training = next(iter(trainings(catalog, rows)), None)
    return lacking, None if training is None else train_command(weights, model, catalog, training, words)


def public_start(recipe: Recipe | None) -> str | None:
    """Return the weights of others that a recipe starts from, in words; None where it needs none."""
    return None if recipe is None or recipe.starts_from == "random weights" else recipe.starts_from


def start_file(model: str) -> str:
    """Return where the plan's commands keep the weights that trainings of a model start from."""
    return f"starts/{model}.safetensors"


def start_command(model: str, starts_from: str) -> str | None:
    """Return how a model's start weights are made; None where `import` reads nothing of the kind as a start.

    FILE stands for weights that have no public name here.
    """
    system = system_of(resolve_config(model))
    if system.encoder is None and not any(layout.untrained for layout in load(system.layouts)):
        return None
    words = f"{model} {starts_from}"
    file = next((name for pattern, name in PUBLIC_STARTS if re.search(pattern, words)), "FILE")
    return shlex.join(["sharpose", "import", file, "--as", model, "--out", start_file(model)])


def data_paths(catalog: Catalog, rows: Rows) -> tuple[list[str], list[str]]:
    """Return the files that judging rows and training for them takes: those that are there, and the others."""
    wanted: dict[str, None] = {}
    withheld: dict[str, None] = {}
    for name, boxes in dict.fromkeys((settings.dataset, settings.boxes) for _, settings in rows):
        data, root, around = catalog.dataset(name), catalog.folder(name), catalog.places.photos
        if data.unavailable is not None:
            withheld[f"{name}: {data.unavailable}"] = None
        paths = [path for part, path in data.paths.items() if part != "detections" or boxes == "detections"]
        training = None if data.training is None else catalog.dataset(data.training)
        if training is not None:
            paths += [path for part, path in training.paths.items() if part != "detections"]
            wanted |= dict.fromkeys(path if around is None else str(around / path) for path in training.sources)
        wanted |= dict.fromkeys(path if root is None else str(root / path) for path in paths)
    there = [path for path in wanted if Path(path).is_absolute() and Path(path).exists()]
    return there, [*withheld, *(path for path in wanted if path not in there)]


def stored_speed(timed: Sequence[Record], settings: Sequence[Settings]) -> tuple[float | None, str | None]:
    """Return the slowest row's best images/s among stored speeds, and the device."""
    speeds: list[tuple[float, str]] = []
    for one in settings:
        # as a record reads it back: tuples are lists there
        identity = canonical(model_identity(one.model, one.options))
        found = [record for record in timed if record.identity.get("model") == identity]
        speeds += sorted((r.metrics["images_per_s"], str(r.provenance.get("device"))) for r in found)[-1:]
    return min(speeds, default=(None, None))


def train_command(weights: str, model: str, catalog: Catalog, training: str, words: Sequence[str]) -> str:
    """Return how the weights are trained on all GPUs of a machine, with more `words`."""
    paths, root = catalog.dataset(training).paths, catalog.folder(training)
    root = root or Path(catalog.dataset(training).folder.upper())
    data = ["--data", str(root / paths["annotations"]), "--images", str(root / paths["images"])]
    spread = ["torchrun", "--standalone", "--nproc-per-node", str(PROCESSES), "-m", "sharpose.cli", "train"]
    fast = ["--workers", str(WORKERS), "--precision", PRECISION]
    return shlex.join([*spread, "--model", model, *data, "--out", f"runs/{weights}", *fast, *words])


def as_dict(needs: Sequence[Need]) -> dict[str, Any]:
    """Return what stands for it in `--json`: the needs, and what was assumed."""
    assumed = {"peak_operations_per_s": PEAK, "utilisation": UTILISATION, "forward_passes_per_step": STEP_FORWARDS}
    return {"assumed": assumed, "needs": [{**asdict(one), "gpu_hours": one.gpu_hours} for one in needs]}


@dataclass(frozen=True)
class Sums:
    """Of several needs: the trainings to do, those of unknown cost, and multiply-adds of training and of evaluation."""

    trainings: int
    unknown: int
    training_macs: float
    evaluation_macs: float

    @property
    def macs(self) -> float:
        """Return those of both."""
        return self.training_macs + self.evaluation_macs


def sums(needs: Iterable[Need]) -> Sums:
    """Return the sums that the plan and docs/scale.md print; what is of unknown cost counts as nothing."""
    each = list(needs)
    return Sums(
        trainings=sum(one.recipe is not None for one in each),
        unknown=sum(one.training_macs is None for one in each),
        training_macs=math.fsum(one.training_macs or 0.0 for one in each),
        evaluation_macs=math.fsum(one.evaluation_macs or 0.0 for one in each),
    )


def lines(needs: Sequence[Need]) -> list[str]:
    """For people: the data that is missing, a paragraph for each set of weights, then the sums and the assumptions."""
    absent = dict.fromkeys(path for one in needs for path in one.data_missing)
    said_first = ["DATA MISSING, before anything can be trained or judged:", *(f"  {path}" for path in absent), ""]
    text = said_first if absent else []
    for one in needs:
        text += [f"{one.weights}: for {', '.join(one.rows)}"]
        if one.recipe is not None:
            here = "none on a device here, as no speed of it is stored"
            if one.device_hours is not None:
                here = f"{amount(one.device_hours)} hours on {one.device}"
            how = f"{one.recipe}, {one.epochs:g} epochs, from {one.starts_from}"
            text += [f"  train by recipe {how}: {said(one.training_macs)}; {here}"]
        text += [f"  evaluate all rows, calculated: {said(one.evaluation_macs)}"] if one.evaluation_macs else []
        text += [f"  there:   {'; '.join(one.there)}"] if one.there else []
        text += [f"  MISSING: {'; '.join(one.missing)}"] if one.missing else []
        text += [f"  {command}" for command in (one.start_command, one.command) if command]
    total = sums(needs)
    text += [
        f"{len(needs)} sets of weights, {total.trainings} to be trained: {said(total.training_macs)}"
        + (f", and {total.unknown} of unknown cost" if total.unknown else ""),
        f"with every row evaluated once: {said(total.macs)}",
        "All hours are calculated, those of evaluation too; none was timed. "
        f"Assumed: a GPU does {UTILISATION:.0%} of its data sheet's dense bf16 rate, a step costs {STEP_FORWARDS} "
        "forward passes, crops are ready in time; multiply-adds by the closed forms; hours on a device here follow "
        "from the stored speed of a forward pass. Nothing was started.",
    ]
    return text


def said(macs: float | None) -> str:
    """Return multiply-adds as hours of each kind of GPU."""
    if macs is None:
        return "unknown GPU hours"
    return ", ".join(f"{amount(value)} {name}" for name, value in gpu_hours(macs).items()) + " GPU hours"


def amount(value: float) -> str:
    """Return a number in two digits, or as a whole number from 10 on."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
