"""Trained weights by name: inside the wheel, in a checkout, in a local cache, or in a hub repository.

A name is KIND/MODEL, e.g. `photos/sharpose-nano-128x96`; a bare MODEL is the first kind of it that is known, in the
order of `KINDS`, so that it means those for photographs where there are such. Looked for in this order:

1. `shipped` beside this file, where a wheel has the small ones, or `results/weights` of a checkout;
2. $SHARPOSE_CACHE (~/.cache/sharpose)/weights, where anyone may put KIND/MODEL.safetensors by hand;
3. the hub repository $SHARPOSE_HUB, or the one that the index names; huggingface_hub fetches, keeps and, with
   HF_HUB_OFFLINE=1, only looks into what it keeps. `hub:OWNER/REPOSITORY` names one person's own weights, as
   `sharpose push` makes them.

What comes from outside is compared with the sha256 of `weights_index.json`, which
`python -m sharpose.weights.pretrained` makes anew from results/weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.fields import reason
from sharpose.runtime.files import read_manifest, sha256_of, write_json

if TYPE_CHECKING:
    from sharpose.models.output import PoseModel

DEFAULT = "vitpose-small-256x192"
"""The model and weights of `Pose()` and `sharpose predict`. The one place where that is decided."""
KINDS = ("photos", "small", "nano")
"""Folders of results/weights, one a tier, in the order in which a bare name is looked for."""
HERE = Path(__file__).resolve().parent
WHEEL, CHECKOUT, INDEX = HERE / "shipped", HERE.parents[1] / "results" / "weights", HERE / "weights_index.json"
HUB = "hub:"


class ToldRecipe(BaseModel):
    """What is read of a manifest's recipe."""

    model_options: dict[str, Any] | None = None


class ToldSource(BaseModel):
    """What is read of a set of people in a manifest."""

    name: str | None = None


class ToldData(ToldSource):
    """What is read of a manifest's people: one set, or several sources."""

    sources: list[ToldSource] | None = None


class Told(BaseModel):
    """What is read of a manifest, which may be a stranger's; the rest is not looked at."""

    model: str | None = None
    options: dict[str, Any] | None = None
    recipe: ToldRecipe | None = None
    data: ToldData | None = None


@dataclass(frozen=True)
class Weights:
    """Weights that were found: their full name, file, and what their manifest says (nothing where there is none)."""

    name: str
    path: Path
    manifest: dict[str, Any]

    @property
    def model(self) -> str:
        """Return the model that they are of."""
        return str(self.manifest.get("model") or self.path.stem)

    @property
    def options(self) -> dict[str, Any]:
        """Return the options that this model was made with."""
        return dict(self.manifest.get("options") or (self.manifest.get("recipe") or {}).get("model_options") or {})

    def options_of(self, model: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options for a model with these weights: those it was made with, and others that are asked for.

        Another model than that of the weights is made as it is asked for.
        """
        return {**(self.options if model == self.model else {}), **asked}

    @property
    def trained_on(self) -> list[str]:
        """Return names of the sets of people; none where the manifest does not say."""
        data = self.manifest.get("data") or {}
        names = [source.get("name") for source in data.get("sources") or []] or [data.get("name")]
        return [str(name) for name in names if name]

    @property
    def warning(self) -> str | None:
        """Return why keypoints on photographs will be wrong; None where nothing speaks against it."""
        if self.trained_on and all(name.startswith("mannequin") for name in self.trained_on):
            sets = ", ".join(self.trained_on)
            return f"{self.name} learned from generated people ({sets}), never from photographs; expect wrong keypoints"
        return None


def load_weights(name: str = DEFAULT, **options: Any) -> PoseModel:
    """Return the trained model of this name, ready to predict; `options` are the model's own, e.g. alpha=.3.

    Raises InputError where there is none, where it cannot be fetched, or where it is not what the index says.
    """
    from sharpose.models import create_model
    from sharpose.weights.files import load_weights as load_into

    found = find_weights(name)
    model = create_model(found.model, **found.options_of(found.model, options))
    load_into(model, found.path)
    return model.eval()


def find_weights(name: str | Path) -> Weights:
    """Return the weights of a name, or of a .safetensors file, fetched where they are not here.

    Raises InputError with the ways out.
    """
    name = str(name)
    if name.startswith(HUB):
        return of_repository(name)
    if name.endswith(".safetensors") or Path(name).is_file():
        return described(name, Path(name))
    candidates = [name] if "/" in name else [f"{kind}/{name}" for kind in KINDS]
    index = read_index()
    for full in candidates:
        for folder in (WHEEL, CHECKOUT, cache()):
            path = folder / f"{full}.safetensors"
            if path.is_file():
                return checked(described(full, path), index if folder == cache() else {})
        if full in index["weights"]:
            return fetched(full, index)
    known = sorted(index["weights"])
    raise InputError(
        f"no trained weights are called {name!r}; there are {', '.join(known)}; or give a .safetensors file, or "
        f"{HUB}OWNER/REPOSITORY"
    )


def fetched(full: str, index: dict[str, Any]) -> Weights:
    """Return weights from the hub repository. Raises InputError where that cannot be."""
    entry, repository = index["weights"][full], os.environ.get("SHARPOSE_HUB") or index["hub"]
    file = f"{full}.safetensors"
    by_hand = (
        f"copy results/weights/{file} of the repository's checkout, and its .json, to {cache() / Path(file).parent} "
        f"({entry['bytes'] / 1e6:.1f} MB, sha256 {entry['sha256'][:12]}…)"
    )
    if not repository:
        raise InputError(f"{full}: not here, and no hub repository is known (SHARPOSE_HUB=OWNER/NAME); {by_hand}")
    path = download(repository, file, by_hand)
    download(repository, file.replace(".safetensors", ".json"), by_hand)
    return checked(described(full, path), index)


def of_repository(name: str) -> Weights:
    """Return the weights of `hub:OWNER/REPOSITORY[@REVISION]`, checked against the manifest beside them."""
    repository, _, revision = name.removeprefix(HUB).partition("@")
    way_out = "check the name and the network"
    path = download(repository, "model.safetensors", way_out, revision or None)
    download(repository, "model.json", way_out, revision or None)
    return described(name, path)


def download(repository: str, file: str, way_out: str, revision: str | None = None) -> Path:
    """Return a file of a hub repository, from huggingface_hub's cache where it is there.

    Raises InputError with the way out where it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    # no network and offline mode are OSErrors of several kinds, a malformed name is a ValueError
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise InputError(f"{repository}: {file} cannot be fetched ({first_line(error)}); {way_out}") from error


def checked(found: Weights, index: dict[str, Any]) -> Weights:
    """Return weights that are what the index says. Raises InputError for others."""
    expected = index.get("weights", {}).get(found.name)
    if expected and sha256_of(found.path) != expected["sha256"]:
        raise InputError(
            f"{found.path}: not the {found.name} that this version knows (sha256 differs); remove the file"
        )
    return found


def described(name: str, path: Path) -> Weights:
    """Return weights with their manifest. Raises InputError where it holds something else than manifests do."""
    manifest = read_manifest(path) or {}
    try:
        Told.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path.with_suffix('.json')}: {where} does not work: {reason(first)}") from None
    return Weights(name, path, manifest)


def cache() -> Path:
    """Return the folder for weights that were fetched or put there by hand."""
    from sharpose.data.cache import cache_dir

    return cache_dir() / "weights"


def read_index() -> dict[str, Any]:
    """Return {"hub": repository or null, "weights": {KIND/MODEL: {"sha256", "bytes"}}}."""
    return dict(json.loads(INDEX.read_text(encoding="utf-8")))


def make_index(folder: Path = CHECKOUT) -> dict[str, Any]:
    """Return the index of the trained networks in a folder; a start is none."""
    files = [path for kind in KINDS for path in sorted((folder / kind).glob("*.safetensors")) if path.stem != "start"]
    weights = {
        f"{path.parent.name}/{path.stem}": {"sha256": sha256_of(path), "bytes": path.stat().st_size} for path in files
    }
    return {"hub": read_index()["hub"] if INDEX.exists() else None, "weights": weights}


if __name__ == "__main__":
    write_json(INDEX, make_index())
