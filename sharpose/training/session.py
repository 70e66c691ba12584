"""A whole training from names: data set, recipe, loop, and the weights with the facts of how they were made."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from pydantic import ValidationError

from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_data
from sharpose.errors import InputError
from sharpose.files import sha256_of
from sharpose.models import create_model
from sharpose.models.registry import resolve_config
from sharpose.starting import start_from
from sharpose.training.engine import Run, train
from sharpose.training.recipe import Recipe, load_recipe
from sharpose.weights import read_weights, save_weights


def train_and_export(
    *,
    model_name: str,
    data: str,
    out: Path,
    images: Path | None = None,
    recipe_name: str = "",
    changes: dict[str, Any] | None = None,
    seed: int = 0,
    workers: int = 0,
    precision: str = "no",
    preload: bool = False,
    init: Path | None = None,
    max_steps: int | None = None,
    device: str | None = None,
    deadline: float | None = None,
    compiled: bool = False,
) -> dict[str, Any]:
    """Train, write `out/<model>.safetensors` and its manifest, and return the manifest with the path of the weights."""
    recipe = chosen_recipe(model_name, recipe_name, changes or {})
    config = resolve_config(model_name, **recipe.model_options)
    annotations, folder, data_facts = find_data(data, images)
    people = CocoTopDown(
        annotations,
        folder,
        image_size=config.image_size,
        augmentation=recipe.augmentation,
        preload=preload,
        seed=seed,
        warp=codec_of(config).warp,
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
    )
    model, state = train(run)
    path = out / f"{model_name}.safetensors"
    facts = {
        "model": model_name,
        "command": shlex.join(["sharpose", *sys.argv[1:]]),
        "recipe": recipe.model_dump(mode="json", exclude={"teacher"}),
        "teacher": None if recipe.teacher is None else identify(recipe.teacher),
        "data": {"name": data, "people": len(people), **data_facts},
        "init": None if init is None else {**origin(init), "taken": taken(model_name, recipe, init)},
        "seed": seed,
        "compiled": compiled,
        "steps": state.step,
        "wall_s": round(state.wall_s, 1),
        "cpu_s": round(state.cpu_s, 1),
        "threads": torch.get_num_threads(),
        "device": PartialState().device.type,
        "processes": PartialState().num_processes,
        "versions": {"torch": torch.__version__},
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "log": [{key: float(f"{value:.4g}") for key, value in row.items()} for row in state.log[::5] + state.log[-1:]],
    }
    if PartialState().is_main_process:
        save_weights(model, path, facts)
    return {"weights": str(path), **facts}


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
    """The named recipe, or the model's own (nano models share one), with changed fields."""
    own = model_name
    if "-nano-" in model_name:
        own = "nano" if model_name.startswith("sharpose") else "nano-one-stage"
    recipe = load_recipe(recipe_name or own)
    try:
        return Recipe.model_validate({**recipe.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--set {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
