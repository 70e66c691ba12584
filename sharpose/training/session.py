"""A whole training from names: data set, recipe, loop, and the weights with the facts of how they were made."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from pydantic import ValidationError

from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_data, is_generated
from sharpose.data.mixture import Mixture
from sharpose.data.skeleton import wanted_layout
from sharpose.errors import InputError
from sharpose.files import sha256_of
from sharpose.models import create_model
from sharpose.models.registry import resolve_config
from sharpose.starting import start_from
from sharpose.training.engine import Run, train
from sharpose.training.recipe import Recipe, load_recipe, own_recipe
from sharpose.weights import read_weights, save_weights


def train_and_export(
    *,
    model_name: str,
    data: Sequence[str],
    out: Path,
    images: Sequence[Path] = (),
    recipe_name: str = "",
    changes: dict[str, Any] | None = None,
    seed: int = 0,
    workers: int = 0,
    precision: str = "no",
    preload: bool = False,
    init: Path | None = None,
    max_steps: int | None = None,
    by_name: bool = False,
    device: str | None = None,
    deadline: float | None = None,
    compiled: bool = False,
    deterministic: bool = False,
) -> dict[str, Any]:
    """Train on one or several data sets, and write `out/<model>.safetensors` and its manifest.

    Returns the manifest with the path of the weights. Raises InputError for anything that does not go together.
    """
    recipe = chosen_recipe(model_name, recipe_name, changes or {})
    config = resolve_config(model_name, **recipe.model_options)
    settings = {"augmentation": recipe.augmentation, "preload": preload}
    sources, data_facts = open_sources(data, images, config, seed, by_name, settings)
    people = sources[0] if len(sources) == 1 else Mixture(sources)
    if people.skeleton.num_keypoints != config.num_keypoints:
        raise InputError(
            f"{data[0]}: has {people.skeleton.num_keypoints} keypoints and {model_name} predicts "
            f"{config.num_keypoints}; match them by their names (--by-name), or --set "
            f"'model_options={{num_keypoints: {people.skeleton.num_keypoints}}}'"
        )
    run = Run(
        model_name,
        recipe,
        people,
        out,
        seed,
        workers,
        precision,
        init=init,
        max_steps=max_steps,
        device=device,
        deadline=deadline,
        compiled=compiled,
        data=digests_of(data_facts),
        deterministic=deterministic,
    )
    model, state = train(run)
    path = out / f"{model_name}.safetensors"
    facts = {
        "model": model_name,
        "command": shlex.join(["sharpose", *sys.argv[1:]]),
        "recipe": recipe.model_dump(mode="json", exclude={"teacher"}),
        "teacher": None if recipe.teacher is None else identify(recipe.teacher),
        "data": data_facts[0] if len(sources) == 1 else {"people": len(people), "sources": data_facts},
        "init": None if init is None else {**origin(init), "taken": taken(model_name, recipe, init)},
        "seed": seed,
        "compiled": compiled,
        "steps": state.step,
        "wall_s": round(state.wall_s, 1),
        "cpu_s": round(state.cpu_s, 1),
        "threads": torch.get_num_threads(),
        "device": PartialState().device.type,
        "processes": PartialState().num_processes,
        "deterministic": deterministic,
        "versions": {"torch": torch.__version__},
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "log": [{key: float(f"{value:.4g}") for key, value in row.items()} for row in state.log[::5] + state.log[-1:]],
    }
    if PartialState().is_main_process:
        save_weights(model, path, facts)
    return {"weights": str(path), **facts}


def open_sources(
    data: Sequence[str], images: Sequence[Path], config: Any, seed: int, by_name: bool, settings: dict[str, Any]
) -> tuple[list[CocoTopDown], list[dict[str, Any]]]:
    """The data sets to learn from, and what identifies them; every annotations file takes the next images folder.

    Raises InputError where folders and files do not go together.
    """
    files = [name for name in data if not is_generated(name)]
    if len(images) > len(files):
        raise InputError(f"--images {images[-1]}: there are {len(images)} folders for {len(files)} annotations files")
    folders = dict(zip(files, images, strict=False))
    layout = wanted_layout(config.num_keypoints) if by_name else None
    sources, facts = [], []
    for number, name in enumerate(data):
        annotations, folder, digests = find_data(name, folders.get(name))
        # each source draws its own augmentations
        fixed: dict[str, Any] = {"image_size": config.image_size, "warp": codec_of(config).warp, "seed": seed + number}
        sources.append(CocoTopDown(annotations, folder, **fixed, by_name=layout, **settings))
        facts.append(
            {"name": Path(name).name, "people": len(sources[-1]), **digests, **({"by_name": True} if by_name else {})}
        )
    return sources, facts


def digests_of(facts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What a resumed run must find unchanged: the digests of every source's files."""
    return {f"{source['name']} {key}": source[key] for source in facts for key in source if key.endswith("sha256")}


def origin(weights: Path) -> dict[str, Any]:
    """Which weights a training started from, with their own manifest where there is one."""
    manifest = weights.with_suffix(".json")
    made = json.loads(manifest.read_text()) if manifest.exists() else None
    return {**identify(weights), "manifest": made}


def identify(weights: Path) -> dict[str, str]:
    """The name and content of a weights file; where it lay does not matter."""
    return {"file": weights.name, "sha256": sha256_of(weights)}


def taken(model_name: str, recipe: Recipe, init: Path) -> dict[str, Any]:
    """What a model starts with from `init`, parameter by parameter."""
    return start_from(create_model(model_name, **recipe.model_options), read_weights(init)).facts


def chosen_recipe(model_name: str, recipe_name: str, changes: dict[str, Any]) -> Recipe:
    """The named recipe, or the model's own, with changed fields."""
    recipe = load_recipe(recipe_name or own_recipe(model_name))
    try:
        return Recipe.model_validate({**recipe.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--set {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
