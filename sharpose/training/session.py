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
from sharpose.models.registry import resolve_config
from sharpose.training.engine import Run, train
from sharpose.training.recipe import Recipe, load_recipe
from sharpose.weights import save_weights


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
    deterministic: bool = False,
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
        data=data_facts,
        deterministic=deterministic,
    )
    model, state = train(run)
    path = out / f"{model_name}.safetensors"
    facts = {
        "model": model_name,
        "command": shlex.join(["sharpose", *sys.argv[1:]]),
        "recipe": recipe.model_dump(mode="json"),
        "data": {"name": data, "people": len(people), **data_facts},
        "init": None if init is None else origin(init),
        "seed": seed,
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


def origin(weights: Path) -> dict[str, Any]:
    """Which weights a training started from, with their own manifest where there is one."""
    manifest = weights.with_suffix(".json")
    made = json.loads(manifest.read_text()) if manifest.exists() else None
    return {"file": weights.name, "sha256": sha256_of(weights), "manifest": made}


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
