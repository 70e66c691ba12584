"""From a spec to its cells: for every row and measure, what determines the number, or why it cannot be had here.

Imports no torch: the identities of stored cells are known without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from experiments.provenance import REPOSITORY, Device
from experiments.spec import FOLDER, MEAN_POSE, LoadedSpec, Measure, Row, Settings, SpecError, Strict
from experiments.yamlfile import YamlFile, nearest
from results.store import ROOT as RESULTS
from results.store import run_id
from sharpose.data.cache import MannequinSet, named_set
from sharpose.data.mannequin import VERSION as MANNEQUIN_VERSION
from sharpose.data.mannequin.request import MPII_VERSION
from sharpose.errors import InputError
from sharpose.files import sha256_of
from sharpose.models.registry import describe, list_models, resolve_config

# Raised when a change to the code would change the measured numbers: records of older versions are not used then.
VERSIONS: dict[Measure | Literal["conformance"], int] = {
    "accuracy": 1,
    "predictions": 1,
    "cost": 1,
    # 2: what no result depends on is not computed any more
    "throughput": 2,
    "conformance": 1,
}

PCKH_VERSION = 1

# What an environment variable that names the folder of a data set begins with.
VARIABLE = "SHARPOSE_"

# Fields of a configuration that only shape training: the weights' hash stands for them.
TRAINING_ONLY = ("drop_path", "position_init", "oks_target")


class DataSet(Strict):
    """A data set by name: generated people, or files inside a folder that --coco or SHARPOSE_<FOLDER> names.

    `mannequin` is a named set of `sharpose.data.cache`, or its `first_images`. `training` names what models learn from.
    `ground_truth` is MPII's file with head boxes; people in its layout are scored by PCKh.
    With `annotations_sha256`, what was measured elsewhere is found without the files.
    `unavailable` says why accuracy on a set cannot be measured anywhere.
    """

    mannequin: str | None = None
    first_images: int | None = Field(None, ge=1)
    layout: Literal["coco", "mpii"] = Field("coco", description="of generated people's annotations")
    folder: str = Field("coco", pattern="^[a-z][a-z0-9_]*$")
    annotations: str | None = None
    annotations_sha256: str | None = Field(None, description="of a file that the repository cannot hold")
    images: str | None = None
    detections: str | None = None
    ground_truth: str | None = None
    by_name: Literal["coco", "mpii"] | None = Field(None, description="the layout onto which keypoints are matched")
    training: str | None = None
    unavailable: str | None = None

    @model_validator(mode="after")
    def one_source(self) -> DataSet:
        on_disk = self.annotations is not None and self.images is not None
        if on_disk + (self.mannequin is not None) + (self.unavailable is not None) != 1:
            raise ValueError("give either mannequin, or annotations and images, or unavailable")
        if self.mannequin is not None:
            named_set(self.mannequin)
        return self

    @property
    def paths(self) -> dict[str, str]:
        """The files of a set on disk, inside its folder."""
        parts = {"annotations": self.annotations, "images": self.images, "detections": self.detections}
        parts |= {"ground_truth": self.ground_truth}
        return {part: path for part, path in parts.items() if path is not None}

    @property
    def is_mpii(self) -> bool:
        """Whether people are scored by PCKh."""
        return self.layout == "mpii" or self.ground_truth is not None

    @property
    def people(self) -> MannequinSet | None:
        """The generated set; image i is the same however many there are."""
        if self.mannequin is None:
            return None
        whole = named_set(self.mannequin)
        return whole if self.first_images is None else replace(whole, images=self.first_images)


class SharedSystem(Strict):
    """How a system differs from the others that share a budget: its model (default: the name of its weights), its data
    (other labels of the same people), changes to the recipe, the seed, whether it begins with the tier's `start`, and
    whose shared weights teach it."""

    model: str | None = None
    data: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    seed: int = Field(0, ge=0)
    start: bool = False
    teacher: str | None = None


class SharedBudget(Strict):
    """One recipe and data set for all `systems` (names of weights), the most valuable first; `start`: where those that
    can begin with trained blocks do, a name in the folder of shared weights."""

    recipe: str
    data: str
    start: str
    systems: dict[str, SharedSystem]

    @model_validator(mode="after")
    def known_names(self) -> SharedBudget:
        for name, system in self.systems.items():
            model = system.model or name
            if model not in list_models():
                raise ValueError(f"systems.{name}: no model is called {model!r}{nearest(model, list_models())}")
            if system.teacher is not None and system.teacher not in self.systems:
                close = nearest(system.teacher, self.systems)
                raise ValueError(f"systems.{name}.teacher: no system is called {system.teacher!r}{close}")
        return self


class Tier(Strict):
    """What stands for a spec's models and data sets; None: they stand for themselves.

    `without`: models and data sets that nothing stands for, and why. `shared`: the budget of `weights: shared`.
    """

    models: dict[str, str] | None = None
    datasets: dict[str, str] | None = None
    without: dict[str, str] = Field(default_factory=dict)
    shared: SharedBudget | None = None


class Tiers(Strict):
    tiers: dict[str, Tier]
    datasets: dict[str, DataSet]


@dataclass(frozen=True)
class Places:
    """Where weights and the folders of data sets are."""

    weights: Path = RESULTS / "weights"
    coco: Path | None = None
    others: Mapping[str, Path] = field(default_factory=dict)
    """Folders of data sets other than COCO, by name."""
    tiers: Path = FOLDER / "tiers.yaml"


@dataclass(frozen=True)
class Cell:
    """One number to measure. `blocked` says why it cannot be measured on this machine; `identity` is None where it is
    not even known what would be.

    `model` and `options` are those that run (at a tier, the stand-in's); `weights` and `dataset` are for accuracy and
    predictions. `seed` is that of a training with the shared budget, of which a table says mean and deviation.
    """

    spec: str
    row: str
    measure: Measure
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
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def run_id(self) -> str | None:
        return None if self.identity is None else run_id(self.identity)

    @property
    def name(self) -> str:
        seed = "" if self.seed is None else f" (seed {self.seed})"
        return f"{self.spec} {self.row}{seed}: {self.measure}"


class Blocked(Exception):
    """A cell that cannot be measured here; the message is the reason and the way out."""


class Catalog:
    """What a tier means on this machine: stand-ins, data sets and weights, each hashed once."""

    def __init__(self, tier: str, places: Places | None = None) -> None:
        self.places = places or Places()
        self.file = YamlFile(self.places.tiers)
        self.tiers = self.file.validate(Tiers)
        if tier not in self.tiers.tiers:
            raise SpecError(f"{self.places.tiers}: there is no tier {tier!r}{nearest(tier, self.tiers.tiers)}")
        self.tier, self.name = self.tiers.tiers[tier], tier
        self.hashes: dict[Path, str] = {}
        self.check_references()

    def check_references(self) -> None:
        """Every data set that something names must be there."""
        named: list[tuple[tuple[str, ...], str]] = [
            (("tiers", name, "datasets", key), to)
            for name, tier in self.tiers.tiers.items()
            for key, to in (tier.datasets or {}).items()
        ]
        named += [
            (("datasets", name, "training"), data.training)
            for name, data in self.tiers.datasets.items()
            if data.training
        ]
        for location, name in named:
            if name not in self.tiers.datasets:
                raise self.file.error(location, f"no data set is called {name!r}{nearest(name, self.tiers.datasets)}")

    def stand_in(self, kind: str, name: str) -> str:
        """The model or data set that stands for `name` at this tier. Raises Blocked when the tier has none."""
        table = self.tier.models if kind == "model" else self.tier.datasets
        if table is None:
            return name
        if name not in table:
            why = self.tier.without.get(name, f"add one to {self.places.tiers.name}")
            raise Blocked(f"tier {self.name} has no {kind} that stands for {name} ({why})")
        return table[name]

    def dataset(self, name: str) -> DataSet:
        if name not in self.tiers.datasets:
            raise SpecError(f"{self.places.tiers}: no data set is called {name!r}{nearest(name, self.tiers.datasets)}")
        return self.tiers.datasets[name]

    def root(self, name: str) -> Path:
        """The folder that a data set on disk lies in. Raises Blocked where it is not given."""
        kind = self.dataset(name).folder
        root = self.places.coco if kind == "coco" else self.places.others.get(kind)
        if root is None:
            coco = "the COCO folder with --coco DIR or SHARPOSE_COCO"
            raise Blocked(
                f"no {name} here (give {coco if kind == 'coco' else f'its folder with {VARIABLE}{kind.upper()}'})"
            )
        return root

    def data_path(self, name: str, relative: str) -> Path:
        """A path inside a data set's folder. Raises Blocked where that is not given, InputError where it lacks it."""
        path = self.root(name) / relative
        if not path.exists():
            kind = self.dataset(name).folder
            option = "--coco (or SHARPOSE_COCO)" if kind == "coco" else VARIABLE + kind.upper()
            raise InputError(f"{path}: no such file or folder; {option} must name the folder with {relative}")
        return path

    def data_identity(self, name: str) -> dict[str, Any]:
        """What determines the people of a data set."""
        data = self.dataset(name)
        if data.people is not None:
            made = {"generator": "mannequin", "version": MANNEQUIN_VERSION, **asdict(data.people)}
            return made | ({"layout": "mpii", "layout_version": MPII_VERSION} if data.is_mpii else {})
        if data.unavailable is not None:
            raise Blocked(f"{name}: {data.unavailable}")
        by_name = {"by_name": data.by_name} if data.by_name else {}
        if data.annotations_sha256 is not None and self.absence(name) is not None:
            return {"annotations_sha256": data.annotations_sha256, **by_name}
        files = {"annotations": data.annotations, "ground_truth": data.ground_truth}
        found = {part: self.data_path(name, path) for part, path in files.items() if path is not None}
        digests = {f"{part}_sha256": self.sha256(path) for part, path in found.items()}
        if data.annotations_sha256 not in (None, digests["annotations_sha256"]):
            raise InputError(f"{found['annotations']}: not the file that {name} means, which has another sha256")
        return digests | by_name

    def absence(self, name: str) -> str | None:
        """Why a data set on disk is not here; None where its folder is given, or where it is generated."""
        try:
            if self.dataset(name).people is None:
                self.root(name)
        except Blocked as reason:
            return str(reason)
        return None

    def boxes_identity(self, name: str, boxes: str) -> Any:
        """What determines the boxes: generated detections follow from the generated data set."""
        data = self.dataset(name)
        if boxes == "ground-truth" or data.mannequin is not None:
            return boxes
        if data.detections is None:
            raise Blocked(f"data set {name} has no detections (add them to {self.places.tiers.name})")
        return {"detections_sha256": self.sha256(self.data_path(name, data.detections))}

    def weights(self, model: str, kind: str = "best") -> Path:
        """The trained weights of a model: its best, the shared budget's, or others; one never stands for the other.

        Raises Blocked when there are none, InputError when they are not intact.
        """
        path = self.weights_path(model, kind)
        manifest = path.with_suffix(".json")
        if not path.exists() and kind == "shared" and self.tier.shared is not None:
            train = f"sharpose train-missing --tier {self.name}"
            add = f"the shared budget trains none; add it to {self.places.tiers.name}"
            raise Blocked(f"no shared weights of {model} ({train if model in self.tier.shared.systems else add})")
        if not path.exists():
            raise Blocked(f"no weights of {model} (train them to {brief(path.parent)}/)")
        try:
            expected = json.loads(manifest.read_bytes())["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{manifest}: the weights' manifest is missing or broken; git checkout it or train again"
            ) from None
        if self.sha256(path) != expected:
            raise InputError(
                f"{path}: does not have the sha256 of its manifest {manifest.name}; git checkout both or train again"
            )
        return path

    def weights_path(self, model: str, kind: str = "best") -> Path:
        """Where the weights of a model are, or would be. A tier that shares no budget has the best alone."""
        best = kind == "best" or (kind == "shared" and self.tier.shared is None)
        folder = self.places.weights if best else self.places.weights / kind
        return folder / f"{model}.safetensors"

    def sha256(self, path: Path) -> str:
        """A file's hash, computed once."""
        if path not in self.hashes:
            self.hashes[path] = sha256_of(path)
        return self.hashes[path]


def open_catalog(tier: str = "nano", coco: Path | None = None) -> Catalog:
    """The tier's stand-ins, with the COCO folder from `coco` or SHARPOSE_COCO and others from SHARPOSE_<FOLDER>.

    Raises InputError when one is no folder.
    """
    named = coco or (Path(os.environ["SHARPOSE_COCO"]) if os.environ.get("SHARPOSE_COCO") else None)
    if named is not None and not named.is_dir():
        raise InputError(f"{named}: no such folder; --coco (or SHARPOSE_COCO) must name the COCO folder")
    catalog = Catalog(tier, Places(coco=named))
    kinds = {data.folder for data in catalog.tiers.datasets.values()} - {"coco"}
    others = {
        kind: Path(os.environ[VARIABLE + kind.upper()]) for kind in kinds if os.environ.get(VARIABLE + kind.upper())
    }
    for kind, folder in others.items():
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; {VARIABLE}{kind.upper()} must name the folder of that data set"
            )
    catalog.places = replace(catalog.places, others=others)
    return catalog


def brief(path: Path) -> str:
    """A path as it is said: inside the repository, relative to it."""
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)


def cells(loaded: LoadedSpec, catalog: Catalog, device: Device) -> list[Cell]:
    """Every cell of a spec at the catalog's tier; throughput on `device`."""
    return [cell for row in loaded.spec.rows for cell in row_cells(loaded, row, catalog, device)]


def row_cells(loaded: LoadedSpec, row: Row, catalog: Catalog, device: Device) -> Iterator[Cell]:
    settings = loaded.settings(row)
    for measure in loaded.measures(row):
        if measure == "accuracy":
            yield accuracy_cell(loaded, row, settings, catalog)
            # a control is not trained, so it has no seeds; of shared weights, seed 0 is the row's own cell once more
            trained = settings.model != MEAN_POSE and catalog.tier.shared is not None
            for seed in loaded.spec.seeds if trained else ():
                yield accuracy_cell(loaded, row, replace(settings, weights="shared"), catalog, seed)
            continue
        if measure == "predictions":
            yield predictions_cell(loaded, row, settings, catalog)
            continue
        identity: dict[str, Any] = {
            "measure": measure,
            "version": VERSIONS[measure],
            "model": model_identity(settings.model, settings.options),
        }
        speed = loaded.spec.throughput
        details: dict[str, Any] = {}
        if measure == "throughput":
            batch = row.load.batch_size or speed.batch_size
            identity |= {"batch_size": batch, "precision": speed.precision, "scope": speed.scope}
            # eager is what every record of before this field was measured with
            identity |= {"mode": speed.mode} if speed.mode != "eager" else {}
            identity |= {"device": device.name, "threads": device.threads}
            if row.load.refine_rate is not None:
                identity |= {"refine_rate": row.load.refine_rate}
            details = {**speed.model_dump(), "batch_size": batch, "refine_rate": row.load.refine_rate}
        yield Cell(
            loaded.id, row.label, measure, "paper-size", settings.model, settings.options, identity, details=details
        )


def accuracy_cell(loaded: LoadedSpec, row: Row, settings: Settings, catalog: Catalog, seed: int | None = None) -> Cell:
    """The accuracy of a row at the catalog's tier; with `seed`, of one of several trainings of the same model."""
    cell = Cell(loaded.id, row.label, "accuracy", catalog.name, settings.model, settings.options, seed=seed)
    control = settings.model == MEAN_POSE
    try:
        if settings.dataset == "":
            raise loaded.row_error(row, "accuracy needs a `dataset`, here or in base")
        dataset = catalog.stand_in("dataset", settings.dataset)
        model = MEAN_POSE if control else catalog.stand_in("model", settings.model)
        identity = {"measure": "accuracy", "version": VERSIONS["accuracy"], "dataset": catalog.data_identity(dataset)}
        identity |= {"boxes": catalog.boxes_identity(dataset, settings.boxes), "flip_test": settings.flip_test}
        if catalog.dataset(dataset).is_mpii:
            identity |= {"score": {"name": "pckh", "version": PCKH_VERSION}}
        weights = None
        if control:
            identity |= {"model": control_identity(dataset, catalog), "weights_sha256": None, "flip_test": None}
        else:
            weights = catalog.weights(weights_name(model, settings.options, seed), settings.weights)
            identity |= {"model": model_identity(model, settings.options), "weights_sha256": catalog.sha256(weights)}
    except Blocked as reason:
        return replace(cell, blocked=str(reason))
    return replace(
        cell,
        model=model,
        identity=identity,
        blocked=catalog.absence(dataset),
        weights=weights,
        dataset=dataset,
        boxes=settings.boxes,
        flip_test=settings.flip_test,
    )


def predictions_cell(loaded: LoadedSpec, row: Row, settings: Settings, catalog: Catalog) -> Cell:
    """Both stages of every person at the catalog's tier, with ground-truth boxes and without flip test."""
    cell = Cell(loaded.id, row.label, "predictions", catalog.name, settings.model, settings.options, flip_test=False)
    if (
        settings.boxes != "ground-truth"
        or settings.flip_test
        or settings.options.get("quality_threshold", 0) is not None
    ):
        raise loaded.row_error(
            row, "predictions need `boxes: ground-truth`, `flip_test: false` and `model.quality_threshold: null`"
        )
    try:
        dataset = catalog.stand_in("dataset", settings.dataset)
        model = catalog.stand_in("model", settings.model)
        weights = catalog.weights(weights_name(model, settings.options), settings.weights)
        identity = {
            "measure": "predictions",
            "version": VERSIONS["predictions"],
            "dataset": catalog.data_identity(dataset),
            "model": model_identity(model, settings.options),
            "weights_sha256": catalog.sha256(weights),
        }
    except Blocked as reason:
        return replace(cell, blocked=str(reason))
    return replace(cell, model=model, identity=identity, weights=weights, dataset=dataset)


def weights_name(model: str, options: dict[str, Any], seed: int | None = None) -> str:
    """The name of a row's weights: a network of one stage (`sharpose-nano-128x96-coarse`) has its own, and so has one
    that learnt with another choice of patches (`…-quality`) or another seed (`…-seed1`)."""
    own = [options.get("stages", "coarse-fine"), options.get("relevance_rows", "")]
    seeds = [f"seed{seed}"] if seed else []
    return "-".join([model, *(word for word in own if word in ("coarse", "fine", "quality")), *seeds])


def model_identity(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """The system and its full resolved configuration, but for what only shapes training."""
    described = describe(resolve_config(model, **options))
    return {key: value for key, value in described.items() if key not in TRAINING_ONLY}


def control_identity(dataset: str, catalog: Catalog) -> dict[str, Any]:
    """The mean pose of a training set."""
    training = catalog.dataset(dataset).training
    if training is None:
        raise Blocked(f"data set {dataset} names no training data (add `training` to {catalog.places.tiers.name})")
    return {"system": MEAN_POSE, "training": catalog.data_identity(training)}
