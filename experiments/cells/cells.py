"""From a spec to its cells: for every row and measure, what determines the number, or why it cannot be had here.

Imports no torch: the identities of stored cells are known without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.cells.provenance import Device
from experiments.spec.catalog import Blocked, Catalog
from experiments.spec.measures import MEASURES
from experiments.spec.spec import MEAN_POSE, PEER, LoadedSpec, Row, Settings, is_ours
from results.records import run_id
from sharpose.models.registry import describe, resolve_config
from sharpose.models.system import load

# Raised when a change to the code would change the measured numbers: records of older versions are not used then.
VERSIONS: dict[str, int] = {
    "accuracy": 1,
    "predictions": 1,
    "cost": 1,
    # 2: what no result depends on is not computed any more
    "throughput": 2,
    "conformance": 1,
}

PCKH_VERSION = 1
PAPER_SIZE = "paper-size"
"""What stands for a tier where a number is that of the paper's models at all of them: cost and speed."""

# Fields of a configuration that only shape training: the weights' hash stands for them.
TRAINING_ONLY = ("drop_path", "position_init", "oks_target")
# What a network keeps from its training, whatever is asked of it later, where it is not the system's usual.
LEARNT = {
    "stages": ("coarse", "fine"),
    "relevance_rows": ("quality",),
    "codec": ("udp", "dark"),
}


@dataclass(frozen=True)
class Cell:
    """One number to measure.

    `blocked` says why it cannot be measured on this machine; `identity` is None where it is not even known what would
    be.

    `model` and `options` are those that run (at a tier, the stand-in's); `weights` and `dataset` are for accuracy and
    predictions. `seed` is that of one of several trainings, of which a table says mean and deviation.
    `test_set` names further people on which the tier measures the row.
    """

    spec: str
    row: str
    measure: str
    tier: str
    model: str
    options: dict[str, Any]
    identity: dict[str, Any] | None = None
    blocked: str | None = None
    weights: Path | None = None
    dataset: str | None = None
    boxes: str = "ground-truth"
    flip_test: bool = True
    seed: int | None = None
    test_set: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def run_id(self) -> str | None:
        """Return the id of the record that would hold the number; None where it is not known what determines it."""
        return None if self.identity is None else run_id(self.identity)

    @property
    def name(self) -> str:
        """Return what messages call the cell: spec, row, seed, people and measure."""
        seed = "" if self.seed is None else f" (seed {self.seed})"
        people = "" if self.test_set is None else f" on {self.test_set}"
        return f"{self.spec} {self.row}{seed}{people}: {self.measure}"


def cells(loaded: LoadedSpec, catalog: Catalog, device: Device) -> list[Cell]:
    """Return every cell of a spec at the catalog's tier; throughput on `device`."""
    catalog.learn(loaded)
    return [
        cell
        for row in loaded.spec.rows
        for measure in loaded.measures(row)
        for cell in load(MEASURES[measure].cells)(measure, loaded, row, catalog, device)
    ]


def accuracy_cells(measure: str, loaded: LoadedSpec, row: Row, catalog: Catalog, device: Device) -> Iterator[Cell]:
    """Yield the row's accuracy, on the tier's further people too, and that of its trainings with other seeds."""
    settings = loaded.settings(row)
    yield accuracy_cell(loaded, row, settings, catalog)
    for test_set in catalog.further_sets(settings.dataset):
        yield accuracy_cell(loaded, row, settings, catalog, test_set=test_set)
    # a control is not trained, so it has no seeds; where a row has the tier's weights, seed 0 is its own cell once more
    trained = is_ours(settings.model) and catalog.tier.shared is not None
    for seed in loaded.seeds(row) if trained else ():
        yield accuracy_cell(loaded, row, replace(settings, weights=None), catalog, seed)


def predictions_cells(measure: str, loaded: LoadedSpec, row: Row, catalog: Catalog, device: Device) -> Iterator[Cell]:
    """Yield both stages of every person at the catalog's tier, with ground-truth boxes and without flip test.

    Raises SpecError for a row that asks for other boxes, a flip test or a threshold.
    """
    settings = at_tier(loaded.settings(row), catalog)
    everybody = settings.options.get("quality_threshold", 0) is None
    if settings.boxes != "ground-truth" or settings.flip_test or not everybody:
        raise loaded.row_error(
            row, "predictions need `boxes: ground-truth`, `flip_test: false` and `model.quality_threshold: null`"
        )
    cell = Cell(loaded.id, row.label, measure, catalog.name, settings.model, settings.options, flip_test=False)
    try:
        dataset, model = catalog.stand_in("dataset", settings.dataset), catalog.stand_in("model", settings.model)
        identity = {"measure": measure, "version": VERSIONS[measure], "dataset": catalog.data_identity(dataset)}
        weights, own = trained_identity(model, settings, catalog)
    except Blocked as reason:
        yield replace(cell, blocked=str(reason))
        return
    absence = catalog.absence(dataset)
    yield replace(cell, model=model, identity=identity | own, blocked=absence, weights=weights, dataset=dataset)


def throughput_cells(measure: str, loaded: LoadedSpec, row: Row, catalog: Catalog, device: Device) -> Iterator[Cell]:
    """Yield how fast it is on the device."""
    settings, speed = loaded.settings(row), loaded.spec.throughput
    batch = row.load.batch_size or speed.batch_size
    how: dict[str, Any] = {"batch_size": batch, "precision": speed.precision, "mode": speed.mode, "scope": speed.scope}
    identity = throughput_identity(settings.model, settings.options, device, **how)
    if row.load.refine_rate is not None:
        identity |= {"refine_rate": row.load.refine_rate}
    details = {**speed.model_dump(), "batch_size": batch, "refine_rate": row.load.refine_rate}
    yield Cell(loaded.id, row.label, measure, PAPER_SIZE, settings.model, settings.options, identity, details=details)


def plain_cells(measure: str, loaded: LoadedSpec, row: Row, catalog: Catalog, device: Device) -> Iterator[Cell]:
    """Yield what the row's model of the paper's size costs, or what a plug-in measures of it."""
    settings, kind = loaded.settings(row), MEASURES[measure]
    model = model_identity(settings.model, settings.options)
    identity: dict[str, Any] = {"measure": measure, "version": VERSIONS.get(measure, kind.version), "model": model}
    if kind.on_device:
        identity |= {"device": device.name, "threads": device.threads}
    yield Cell(loaded.id, row.label, measure, PAPER_SIZE, settings.model, settings.options, identity)


def throughput_identity(
    model: str,
    options: dict[str, Any],
    device: Device,
    *,
    batch_size: int,
    precision: str,
    mode: str,
    scope: str = "model",
) -> dict[str, Any]:
    """Return what determines how fast a model is, everyone refined."""
    identity = {"measure": "throughput", "version": VERSIONS["throughput"], "model": model_identity(model, options)}
    identity |= {"batch_size": batch_size, "precision": precision, "scope": scope}
    # eager is what every record of before this field was measured with
    identity |= {"mode": mode} if mode != "eager" else {}
    return identity | {"device": device.name, "threads": device.threads}


def accuracy_cell(
    loaded: LoadedSpec,
    row: Row,
    settings: Settings,
    catalog: Catalog,
    seed: int | None = None,
    test_set: str | None = None,
) -> Cell:
    """Return the accuracy of a row at the catalog's tier, or why it cannot be measured.

    seed: of one of several trainings of the same model. test_set: on people beside those of the row. Raises SpecError
    for a row without a data set.
    """
    settings = at_tier(settings, catalog)
    cell = Cell(
        loaded.id, row.label, "accuracy", catalog.name, settings.model, settings.options, seed=seed, test_set=test_set
    )
    control, peer = settings.model == MEAN_POSE, settings.model.startswith(PEER)
    try:
        if settings.dataset == "":
            raise loaded.row_error(row, "accuracy needs a `dataset`, here or in base")
        dataset = test_set or catalog.stand_in("dataset", settings.dataset)
        model = settings.model if control or peer else catalog.stand_in("model", settings.model)
        identity = {"measure": "accuracy", "version": VERSIONS["accuracy"], "dataset": catalog.data_identity(dataset)}
        identity |= {"boxes": catalog.boxes_identity(dataset, settings.boxes), "flip_test": settings.flip_test}
        if catalog.dataset(dataset).is_mpii:
            identity |= {"score": {"name": "pckh", "version": PCKH_VERSION}}
        weights = None
        if control:
            learnt = {"system": MEAN_POSE, "training": catalog.data_identity(training_of(dataset, catalog))}
            identity |= {"model": learnt, "weights_sha256": None, "flip_test": None}
        elif peer:
            identity |= {"model": catalog.peer_identity(model)}
        else:
            weights, own = trained_identity(model, settings, catalog, seed)
            identity |= own
            if settings.options.get("selection") == "constant":
                identity |= {"mean_over": catalog.data_identity(training_of(dataset, catalog))}
    except Blocked as reason:
        return replace(cell, blocked=str(reason))
    return replace(
        cell,
        model=model,
        identity=identity,
        blocked=catalog.absence(dataset) or (catalog.peer_absence(model) if peer else None),
        weights=weights,
        dataset=dataset,
        boxes=settings.boxes,
        flip_test=settings.flip_test,
    )


def at_tier(settings: Settings, catalog: Catalog) -> Settings:
    """Return what a row measures with what a tier changes for all: boxes, and the options its models learnt with."""
    options = settings.options if settings.model == MEAN_POSE else {**settings.options, **catalog.tier.options}
    return replace(settings, options=options, boxes=catalog.tier.boxes or settings.boxes)


def weights_name(
    model: str,
    options: dict[str, Any],
    seed: int | None = None,
    *,
    training: str | None = None,
    each_alpha: bool = False,
) -> str:
    """Return the name of a row's weights.

    A network of one stage (`sharpose-nano-128x96-coarse`) has its own, and so has one that learnt with another choice
    of patches (`…-quality`), codec (`…-udp`), by another `training` (`…-guided`) or seed (`…-seed1`); at a tier that
    trains `each_alpha`, also with another α than the model's own (`…-alpha0.3`).
    """
    trainings = [training] if training else []
    seeds = [f"seed{seed}"] if seed else []
    alpha = alpha_apart(model, options) if each_alpha else None
    alphas = [] if alpha is None else [f"alpha{alpha:g}"]
    return "-".join([model, *learnt_with(options).values(), *alphas, *trainings, *seeds])


def row_weights_name(model: str, settings: Settings, catalog: Catalog, seed: int | None = None) -> str:
    """Return the name of the tier's weights for a row whose stand-in is `model`."""
    each_alpha = catalog.tier.each_alpha
    return weights_name(model, settings.options, seed, training=settings.training, each_alpha=each_alpha)


def learnt_with(options: dict[str, Any]) -> dict[str, str]:
    """Return the options that cannot be changed after training, where a system's own weights learnt with others."""
    return {name: options[name] for name, values in LEARNT.items() if options.get(name) in values}


def alpha_apart(model: str, options: dict[str, Any]) -> float | None:
    """Return a row's α where it is not the model's own; None where it is, and for what has no fine stage or no α."""
    if "alpha" not in options or options.get("stages") == "coarse":
        return None
    return None if options["alpha"] == resolve_config(model).alpha else float(options["alpha"])


def trained_identity(
    model: str, settings: Settings, catalog: Catalog, seed: int | None = None
) -> tuple[Path, dict[str, Any]]:
    """Return the weights of a row's model, and what determines the two. Raises Blocked where it has none."""
    weights = catalog.weights(row_weights_name(model, settings, catalog, seed), settings.weights)
    return weights, {"model": model_identity(model, settings.options), "weights_sha256": catalog.sha256(weights)}


def model_identity(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the system and its full resolved configuration, except what only shapes training."""
    described = describe(resolve_config(model, **options))
    return {key: value for key, value in described.items() if key not in TRAINING_ONLY}


def training_of(dataset: str, catalog: Catalog) -> str:
    """Return the name of the people that a control learns from. Raises Blocked where a data set names none."""
    training = catalog.dataset(dataset).training
    if training is None:
        raise Blocked(f"data set {dataset} names no training data (add `training` to {catalog.places.tiers.name})")
    return training
