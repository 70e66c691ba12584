"""A whole training from names: data set, recipe, loop, and the weights with the facts of how they were made."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import PartialState
from pydantic import ValidationError

from sharpose.codecs.choice import codec_of
from sharpose.data.annotations import check_layout
from sharpose.data.coco import CocoTopDown
from sharpose.data.labels import LabelRule
from sharpose.data.locate import Source, find_all
from sharpose.data.mixture import Mixture
from sharpose.data.pictures import pictures_sha256
from sharpose.models import create_model
from sharpose.models.registry import check_option_names, resolve_config
from sharpose.pose.skeleton import wanted_layout
from sharpose.runtime.errors import InputError
from sharpose.runtime.fields import reason
from sharpose.runtime.files import sha256_of
from sharpose.training.engine import MAY_CHANGE, Run, chosen_precision, train
from sharpose.training.recipe import Recipe, load_recipe, own_recipe
from sharpose.training.request import TrainingRequest
from sharpose.training.tracking import check_trackers
from sharpose.weights.files import check_manifest_place, recorded_digest, save_weights
from sharpose.weights.starting import find_start, read_start, start_from

PICTURES = "pictures_sha256"


def train_and_export(asked: TrainingRequest) -> dict[str, Any]:
    """Train on one or several data sets, and write `out/<model>.safetensors` and its manifest.

    Returns the manifest with the path of the weights. Raises InputError for anything that does not go together.
    """
    check_trackers(asked.log_with)
    asked = replace(asked, precision=chosen_precision(asked.precision, asked.device))
    recipe = chosen_recipe(asked.model, asked.recipe, asked.changes)
    if recipe.starts_from and asked.init is None and not asked.from_scratch:
        raise InputError(
            f"{asked.model}: this recipe starts from {recipe.starts_from}; name such weights with --init, "
            "or say --from-scratch for random ones"
        )
    path = asked.out / f"{asked.model}.safetensors"
    check_manifest_place(path)
    start = None if asked.init is None else find_start(str(asked.init))
    config = resolve_config(asked.model, **recipe.model_options)
    found = find_all(asked.data, asked.images)
    sources = open_sources(found, config, asked, recipe)
    data_facts = [facts_of(source, people, asked) for source, people in zip(found, sources, strict=True)]
    alone = len(sources) == 1 and found[0].repeat == 1
    people = sources[0] if alone else Mixture(sources, [source.repeat for source in found])
    for source in sources:
        check_layout(source.pose_file, asked.model, config.num_keypoints)
    if asked.crops is not None:
        recipe = recipe.shortened(asked.crops / (recipe.epochs * len(people)))
    run = Run(
        asked.model,
        recipe,
        people,
        asked.out,
        init=start,
        data=digests_of(data_facts),
        pictures=[facts[PICTURES] for facts in data_facts],
        validation=None if asked.validate is None else asked.validate(config, asked.precision),
        **asked.how,
    )
    model, state = train(run)
    facts = {
        "model": asked.model,
        "command": shlex.join(["sharpose", *sys.argv[1:]]),
        "recipe": recipe.model_dump(mode="json", exclude={"teacher"}),
        "teacher": None if recipe.teacher is None else identify(recipe.teacher),
        "data": data_facts[0] if alone else {"people": len(people), "sources": data_facts},
        "init": None if start is None else {**origin(start), "taken": taken(asked.model, recipe, start)},
        "seed": asked.seed,
        "precision": asked.precision,
        "steps": state.step,
        "wall_s": round(state.wall_s, 1),
        "cpu_s": round(state.cpu_s, 1),
        **{key: value for key, value in state.parts[-1].items() if key != "step"},
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"parts": state.parts} if len(state.parts) > 1 else {}),
        **({"curve": state.curve} if asked.validate else {}),
        "log": [{key: float(f"{value:.4g}") for key, value in row.items()} for row in state.log[::5] + state.log[-1:]],
    }
    if PartialState().is_main_process:
        save_weights(model, path, facts)
    return {"weights": str(path), **facts}


def difference(facts: Mapping[str, Any], asked: TrainingRequest) -> str:
    """Return how a finished training, by its manifest, is another than the one asked for; empty where it is not.

    Its length, precision and data are not looked at.
    """
    recipe = chosen_recipe(asked.model, asked.recipe, asked.changes)
    if asked.crops is not None:
        recipe = recipe.shortened(asked.crops / (recipe.epochs * facts["data"]["people"]))
    start = None if asked.init is None else sha256_of(find_start(str(asked.init)))
    now = {"seed": asked.seed, "start": start, **recipe.model_dump(mode="json", exclude={"teacher", *MAY_CHANGE})}
    was = {**facts["recipe"], "seed": facts["seed"], "start": (facts["init"] or {}).get("sha256")}
    return next(
        (f"{each} was {was.get(each)!r} and is {new!r} now" for each, new in now.items() if was.get(each) != new), ""
    )


def open_sources(found: Sequence[Source], config: Any, asked: TrainingRequest, recipe: Recipe) -> list[CocoTopDown]:
    """Return the data sets to learn from. Raises InputError for anything wrong with their files."""
    fixed: dict[str, Any] = {"image_size": config.image_size, "warp": codec_of(config).warp}
    fixed |= {"by_name": wanted_layout(config.num_keypoints) if asked.by_name else None, "category": asked.category}
    fixed |= {"augmentation": recipe.augmentation, "preload": asked.preload}
    return [
        # each source draws its own augmentations
        CocoTopDown(source.annotations, source.images, seed=asked.seed + number, labels=source.labels, **fixed)
        for number, source in enumerate(found)
    ]


def facts_of(source: Source, people: CocoTopDown, asked: TrainingRequest) -> dict[str, Any]:
    """Return what identifies a source in a manifest; fields at their defaults are left out."""
    digests = {**source.digests, PICTURES: pictures_sha256(people.pictures)}
    facts = {"name": source.name, "people": len(people), **digests}
    special = {"by_name": asked.by_name, "repeat": source.repeat, "labels": asdict(source.labels)}
    special |= {"category": asked.category, "notes": list(people.pose_file.notes)}
    usual = {"by_name": False, "repeat": 1, "labels": asdict(LabelRule()), "category": None, "notes": []}
    return facts | {key: value for key, value in special.items() if value != usual[key]}


def digests_of(facts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what a resumed run must find unchanged: digests of every source's files but pictures, and its category."""
    digests: dict[str, str] = {}
    for number, source in enumerate(facts, 1):
        twice = any(source["name"] == other["name"] for other in facts[: number - 1])
        name = f"{source['name']} ({number})" if twice else source["name"]
        kept = [key for key in source if (key.endswith("sha256") and key != PICTURES) or key == "category"]
        digests |= {f"{name} {key}": source[key] for key in kept}
    return digests


def origin(weights: Path) -> dict[str, Any]:
    """Return which weights a training started from, with their own manifest where there is one."""
    manifest = weights.with_suffix(".json")
    ours = manifest.is_file() and recorded_digest(manifest) is not None
    made = json.loads(manifest.read_text(encoding="utf-8")) if ours else None
    return {**identify(weights), "manifest": made}


def identify(weights: Path) -> dict[str, str]:
    """Return the name and content of a weights file; where it lay does not matter."""
    return {"file": weights.name, "sha256": sha256_of(weights)}


def taken(model_name: str, recipe: Recipe, init: Path) -> dict[str, Any]:
    """Return what a model starts with from `init`, parameter by parameter."""
    return start_from(create_model(model_name, **recipe.model_options), read_start(init)).facts


def chosen_recipe(model_name: str, recipe_name: str, changes: Mapping[str, Any]) -> Recipe:
    """Return the named recipe, or the model's own, with changes: of the recipe's fields, or of the model's options.

    Raises InputError for a name that is neither's, with the nearest one, and for values that do not fit.
    """
    recipe = load_recipe(recipe_name or own_recipe(model_name))
    options = {name: value for name, value in changes.items() if name not in Recipe.model_fields}
    check_option_names(model_name, options, Recipe.model_fields)
    changed = {name: value for name, value in changes.items() if name not in options}
    if options:
        given = changed.get("model_options", recipe.model_options)
        if not isinstance(given, dict):
            raise InputError(f"--set model_options = {given!r} does not work: it must be {{NAME: VALUE, ...}}")
        changed["model_options"] = {**given, **options}
    try:
        return Recipe.model_validate({**recipe.model_dump(), **changed})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--set {'.'.join(map(str, first['loc']))}: {reason(first)}") from error
