"""What a tier means on this machine: stand-ins, data sets and weights, each hashed once, or why it is not here.

Imports no torch: the identities of stored cells are known without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.cells.provenance import REPOSITORY, version_of
from experiments.spec.datasets import DataSet
from experiments.spec.spec import FOLDER, PEER, LoadedSpec, SpecError
from experiments.spec.tiers import Peer, Tiers
from experiments.spec.yamlfile import YamlFile
from results.store import ROOT as RESULTS
from sharpose.data.mannequin.request import MPII_VERSION
from sharpose.data.photos import PHOTO_SETS, photos_folder
from sharpose.data.photos import VARIABLE as PHOTOS
from sharpose.models.registry import is_built_in
from sharpose.runtime.errors import InputError, nearest
from sharpose.runtime.files import read_manifest, sha256_of

EMBEDDED = "nano"
"""The tier of which everything ships; the files of others lie in folders of their own."""
# What an environment variable that names the folder of a data set begins with.
VARIABLE = "SHARPOSE_"
NO_WEIGHTS = re.compile(r"(?<=^no weights of )\S+(?= \()")
"""The model in a reason that `Catalog.weights` gives."""
# Folders inside the one that SHARPOSE_PHOTOS names.
PHOTO_FOLDERS = {source.annotations.partition("/")[0] for sources in PHOTO_SETS.values() for source in sources}


@dataclass(frozen=True)
class Places:
    """Where weights and the folders of data sets are."""

    weights: Path = RESULTS / "weights"
    coco: Path | None = None
    others: Mapping[str, Path] = field(default_factory=dict)
    """Folders of data sets other than COCO, by name."""
    photos: Path | None = None
    """The folder around all photographs."""
    tiers: Path = FOLDER / "tiers.yaml"


class Blocked(Exception):
    """A cell that cannot be measured here; the message is the reason and the way out."""


class Catalog:
    """What a tier means on this machine: stand-ins, data sets and weights, each hashed once.

    Raises SpecError for an unknown tier, or a name in tiers.yaml that stands for nothing.
    """

    def __init__(self, tier: str, places: Places | None = None) -> None:
        self.places = places or Places()
        self.file = YamlFile(self.places.tiers)
        self.tiers = self.file.validate(Tiers)
        if tier not in self.tiers.tiers:
            raise SpecError(f"{self.places.tiers}: there is no tier {tier!r}{nearest(tier, self.tiers.tiers)}")
        self.tier, self.name = self.tiers.tiers[tier], tier
        self.hashes: dict[Path, str] = {}
        self.own: dict[str, tuple[DataSet, Path]] = {}
        """Data sets that specs brought, with the specs' files."""
        self.check_references()

    def check_references(self) -> None:
        """Check that every data set that something names is there. Raises SpecError where one is not."""
        named: list[tuple[tuple[str, ...], str]] = []
        for name, tier in self.tiers.tiers.items():
            named += [(("tiers", name, "datasets", key), to) for key, to in (tier.datasets or {}).items()]
            named += [(("tiers", name, "also", key), to) for key, sets in tier.also.items() for to in sets]
        for name, data in self.tiers.datasets.items():
            named += [(("datasets", name, "training"), data.training)] if data.training else []
        for location, name in named:
            if name not in self.tiers.datasets:
                raise self.file.error(location, f"no data set is called {name!r}{nearest(name, self.tiers.datasets)}")

    def learn(self, loaded: LoadedSpec) -> None:
        """Know the data sets that a spec brings. Raises SpecError for the name of another."""
        for name, data in loaded.spec.datasets.items():
            known, where = self.own.get(name, (self.tiers.datasets.get(name), self.places.tiers))
            if known is not None and (known, where.parent) != (data, loaded.path.parent):
                raise loaded.file.error(
                    ("datasets", name), f"{where} has a data set {name!r} already; choose another name"
                )
            self.own[name] = data, loaded.path

    def stand_in(self, kind: str, name: str) -> str:
        """Return the model or data set that stands for `name` at this tier. Raises Blocked when the tier has none."""
        table = self.tier.models if kind == "model" else self.tier.datasets
        if table is None or (kind == "dataset" and name in self.own):
            return name
        if name not in table and kind == "model" and not is_built_in(name):
            # what comes from elsewhere has no stand-in here: it is measured as what it is
            return name
        if name not in table:
            why = self.tier.without.get(name, f"add one to {self.places.tiers.name}")
            raise Blocked(f"tier {self.name} has no {kind} that stands for {name} ({why})")
        return table[name]

    def people(self, name: str) -> str | None:
        """Return the data set that stands for `name`; None where none does."""
        return name if self.tier.datasets is None or name in self.own else self.tier.datasets.get(name)

    def further_sets(self, name: str) -> list[str]:
        """Return the data sets on which rows about `name` are measured too, beside the one that stands for it."""
        return [one for one in self.tier.also.get(name, {}) if one != self.people(name)]

    def dataset(self, name: str) -> DataSet:
        """Return a data set by name, of a spec's own or of the tiers. Raises SpecError for an unknown name."""
        if name in self.own:
            return self.own[name][0]
        if name not in self.tiers.datasets:
            raise SpecError(f"{self.places.tiers}: no data set is called {name!r}{nearest(name, self.tiers.datasets)}")
        return self.tiers.datasets[name]

    def peer(self, model: str) -> Peer:
        """Return the peer that a row's `peer:NAME` means. Raises SpecError for an unknown name."""
        name = model.removeprefix(PEER)
        if name not in self.tiers.peers:
            raise SpecError(f"{self.places.tiers}: no peer is called {name!r}{nearest(name, self.tiers.peers)}")
        return self.tiers.peers[name]

    def peer_identity(self, model: str) -> dict[str, Any]:
        """Return what determines a peer's predictions: weights and how they are read, or a package and its version."""
        peer = self.peer(model)
        if peer.file is not None:
            return {"system": "peer", "weights_sha256": peer.weights_sha256, **peer.reading}
        return {"system": "peer", "package": "mediapipe", "version": version_of("mediapipe") or peer.mediapipe}

    def peer_file(self, model: str) -> Path:
        """Return the file of a peer of heatmaps.

        Raises Blocked where its folder is not given, InputError where it is missing or another file.
        """
        peer = self.peer(model)
        folder, variable = self.places.others.get(peer.folder), VARIABLE + peer.folder.upper()
        if folder is None:
            raise Blocked(f"no {model} here (give the folder with {peer.file} by {variable})")
        path = folder / (peer.file or "")
        weights = path.with_suffix(".bin") if path.suffix == ".xml" else path
        if not weights.is_file():
            raise InputError(f"{weights}: no such file; {variable} must name the folder with {peer.file}")
        if self.sha256(weights) != peer.weights_sha256:
            raise InputError(f"{weights}: not the weights that {model} means, which have another sha256")
        return path

    def peer_absence(self, model: str) -> str | None:
        """Return why a peer cannot be run here; None where it can."""
        if self.peer(model).mediapipe is not None:
            return None if version_of("mediapipe") else f"no {model} here (pip install 'sharpose[mediapipe]')"
        try:
            self.peer_file(model)
        except Blocked as reason:
            return str(reason)
        return None

    def folder(self, name: str) -> Path | None:
        """Return the folder that a data set on disk lies in; None where it is not given."""
        data = self.dataset(name)
        if data.sources:
            return self.places.photos
        if name in self.own and "folder" not in data.model_fields_set:
            return self.own[name][1].parent
        kind = data.folder
        return self.places.coco if kind == "coco" else self.places.others.get(kind)

    def wanted(self, name: str) -> str:
        """Return how the folder of a data set is given."""
        data = self.dataset(name)
        alone = VARIABLE + data.folder.upper()
        if data.sources:
            return f"the folder of photographs with {PHOTOS}"
        if data.folder in PHOTO_FOLDERS:
            return f"the folder of photographs with {PHOTOS}, or {data.folder} alone with {alone}"
        return (
            "the COCO folder with --coco DIR or SHARPOSE_COCO" if data.folder == "coco" else f"its folder with {alone}"
        )

    def data_path(self, name: str, relative: str) -> Path:
        """Return a path in a data set's folder. Raises Blocked where none is given, InputError where it lacks it."""
        root = self.folder(name)
        if root is None:
            raise Blocked(self.absence(name))
        path = root / relative
        if not path.exists():
            if name in self.own:
                raise InputError(f"{path}: no such file or folder; {self.own[name][1]} names it for data set {name}")
            kind = self.dataset(name).folder
            option = "--coco (or SHARPOSE_COCO)" if kind == "coco" else VARIABLE + kind.upper()
            option = f"{PHOTOS} or {option}" if kind in PHOTO_FOLDERS else option
            raise InputError(f"{path}: no such file or folder; {option} must name the folder with {relative}")
        return path

    def data_identity(self, name: str) -> dict[str, Any]:
        """Return what determines the people of a data set.

        Raises Blocked where they are not to be had, InputError where a file is another than the one meant.
        """
        data = self.dataset(name)
        if data.people is not None:
            made = {"generator": "mannequin", "version": data.people.parameters.version, **asdict(data.people)}
            blind = {"withheld": True} if data.withheld else {}
            return made | blind | ({"layout": "mpii", "layout_version": MPII_VERSION} if data.is_mpii else {})
        if data.unavailable is not None:
            raise Blocked(f"{name}: {data.unavailable}")
        by_name = {"by_name": data.by_name} if data.by_name else {}
        if data.annotations_sha256 is not None and self.absence(name) is not None:
            return {"annotations_sha256": data.annotations_sha256, **by_name}
        if data.sources:
            return {"annotations_sha256": [self.sha256(self.data_path(name, path)) for path in data.sources]}
        files = {"annotations": data.annotations, "ground_truth": data.ground_truth}
        found = {part: self.data_path(name, path) for part, path in files.items() if path is not None}
        digests = {f"{part}_sha256": self.sha256(path) for part, path in found.items()}
        if data.annotations_sha256 not in (None, digests["annotations_sha256"]):
            raise InputError(f"{found['annotations']}: not the file that {name} means, which has another sha256")
        return digests | by_name

    def absence(self, name: str) -> str | None:
        """Return why a data set on disk is not here; None where its folder is given, or where it is generated."""
        given = self.dataset(name).people is not None or self.folder(name) is not None
        return None if given else f"no {name} here (give {self.wanted(name)})"

    def boxes_identity(self, name: str, boxes: str) -> Any:
        """Return what determines the boxes: generated detections follow from the generated data set.

        Raises Blocked where a set has none.
        """
        data = self.dataset(name)
        if boxes == "ground-truth" or data.mannequin is not None:
            return boxes
        if data.detections is None:
            raise Blocked(f"data set {name} has no detections (add them to {self.places.tiers.name})")
        return {"detections_sha256": self.sha256(self.data_path(name, data.detections))}

    def weights(self, name: str, path: Path | None = None) -> Path:
        """Return trained weights by name, or those in another place, checked against their manifest.

        Raises Blocked when there are none, InputError when they are not intact.
        """
        shared, own = self.tier.shared, path is None
        path = path or self.weights_path(name)
        if not path.exists() and own and shared is not None:
            train = f"sharpose train-missing --tier {self.name}"
            add = f"the shared budget trains none; add it to {self.places.tiers.name}"
            raise Blocked(f"no weights of {name} ({train if name in shared.trainings else add})")
        if not path.exists():
            raise Blocked(f"no weights of {name} (train them to {brief(path.parent)}/)")
        manifest = path.with_suffix(".json")
        expected = (read_manifest(path) or {}).get("sha256")
        if expected is None:
            raise InputError(f"{manifest}: the weights' manifest is missing or broken; git checkout it or train again")
        if self.sha256(path) != expected:
            raise InputError(
                f"{path}: does not have the sha256 of its manifest {manifest.name}; git checkout both or train again"
            )
        return path

    def weights_path(self, name: str) -> Path:
        """Return where trained weights of this tier are, or would be."""
        return self.places.weights / self.name / f"{name}.safetensors"

    def start_path(self) -> Path:
        """Return where the weights are that the tier's trainings start from, or would be."""
        return self.places.weights / f"{self.tier.shared and self.tier.shared.start}.safetensors"

    def start(self) -> Path:
        """Return the same, checked. Raises Blocked and InputError as `weights` does."""
        path = self.start_path()
        return self.weights(f"{path.parent.name}/{path.stem}", path)

    def sha256(self, path: Path) -> str:
        """Return a file's hash, computed once."""
        if path not in self.hashes:
            self.hashes[path] = sha256_of(path)
        return self.hashes[path]


def open_catalog(tier: str = "nano", coco: Path | None = None) -> Catalog:
    """Return what a tier means on this machine.

    The COCO folder is that of `coco` or SHARPOSE_COCO, others are those of SHARPOSE_<FOLDER>, those of photographs also
    inside SHARPOSE_PHOTOS.

    Raises InputError when one is no folder.
    """
    named = coco or folder_of("coco")
    if named is not None and not named.is_dir():
        raise InputError(f"{named}: no such folder; --coco (or SHARPOSE_COCO) must name the COCO folder")
    photos = photos_folder() if os.environ.get(PHOTOS) else None
    catalog = Catalog(tier, Places(coco=named))
    kinds = {data.folder for data in catalog.tiers.datasets.values()} - {"coco"}
    kinds |= {peer.folder for peer in catalog.tiers.peers.values()}
    others = {kind: photos / kind for kind in kinds & PHOTO_FOLDERS if photos and (photos / kind).is_dir()}
    others |= {kind: folder for kind in kinds if (folder := folder_of(kind)) is not None}
    for kind, folder in others.items():
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; {VARIABLE}{kind.upper()} must name the folder of that data set"
            )
    catalog.places = replace(catalog.places, others=others, photos=photos)
    return catalog


def folder_of(kind: str) -> Path | None:
    """Return the folder that SHARPOSE_<KIND> names; None where it is not set."""
    folder = os.environ.get(VARIABLE + kind.upper())
    return Path(folder) if folder else None


def tier_folder(folder: Path, tier: str) -> Path:
    """Return where a tier's files lie: the embedded one's in a folder itself, others' in one of their own inside."""
    return folder if tier == EMBEDDED else folder / tier


def examples_folder(tier: str) -> Path:
    """Return where the people that figures show are kept."""
    return tier_folder(RESULTS / "examples", tier)


def brief(path: Path) -> str:
    """Return a path as it is said: inside the repository, relative to it."""
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
