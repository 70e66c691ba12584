"""Trainings for as long as a GPU is given: as many crops as their first steps promise, weights whenever they stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.tools.gpu_work import System, Work
from sharpose.runtime.errors import Interrupted, OutOfTime, first_line
from sharpose.runtime.files import write_json

RECIPE, DATA = "photos-small", ("photos-train",)
SPENT_TRAINING = 0.75
"""Of a training's time after its start; the rest is for validation, checkpoints and slower minutes."""


def train_system(system: System, work: Work, deadline: float) -> tuple[bool, str]:
    """Train a system on photographs for as many crops as its time allows; weights also where it is stopped."""
    from sharpose.evaluation.validation import validate_on

    folder = work.folder / "small" / system.name
    changes = recipe_changes(system, work)
    chosen = folder / "length.json"
    if not chosen.is_file():
        write_json(chosen, choose_length(system, work, deadline, changes))
    length = json.loads(chosen.read_text(encoding="utf-8"))
    epochs = length["epochs"]
    changes |= {"epochs": epochs, "linear_decay_epochs": epochs}
    try:
        how = {"compiled": length["compiled"], "validate": validate_on(work.scale.validate)}
        facts = train(system, work, folder, changes, deadline, **how)
    except OutOfTime as stop:
        save_unfinished(system, work, folder, changes)
        return False, str(stop)
    curve = facts.get("curve") or [{}]
    figures = ", ".join(f"{key} {value:.3f}" for key, value in curve[-1].items() if isinstance(value, float))
    return True, f"{length['crops']:,} crops in {facts['wall_s']:.0f} s; {figures}"


def recipe_changes(system: System, work: Work) -> dict[str, Any]:
    """Return what differs from the recipe's fields, model options merged."""
    from sharpose.training.recipe import load_recipe

    options = {**load_recipe(RECIPE).model_options, **work.scale.changes.get("model_options", {})}
    changes = {**work.scale.changes, "model_options": options}
    teacher = None if system.teacher is None else weights_of(work, system.teacher)
    if teacher is not None:
        changes["teacher"] = teacher
    elif system.teacher is not None:
        work.log(f"{system.name}: {system.teacher} has no weights yet, so nobody teaches it")
    return changes


def weights_of(work: Work, name: str) -> Path | None:
    """Return the finished weights of a system; None where there are none."""
    folder = work.folder / "small" / name
    done = [path for path in folder.glob("*.safetensors") if "unfinished" not in path.stem]
    return done[0] if done else None


def choose_length(system: System, work: Work, deadline: float, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many crops fit before the deadline, by the speed of the first steps; and whether blocks are compiled.

    Raises OutOfTime where they are too few to learn from.
    """
    probe, compiled = work.folder / "probe" / system.name, work.compiled
    while True:
        began = work.clock()
        try:
            facts = train(system, work, probe, changes, deadline, compiled=compiled, max_steps=work.scale.probe_steps)
            break
        # what the compiler raises has no common class; a mistake of ours comes again without it
        except Exception as error:
            if not compiled or isinstance(error, Interrupted):
                raise
            work.log(
                f"{system.name}: torch.compile failed ({type(error).__name__}: {first_line(error)}); eager instead"
            )
            compiled = False
        finally:
            shutil.rmtree(probe, ignore_errors=True)
    batch, people = facts["recipe"]["batch_size"], facts["data"]["people"]
    speed = facts["steps"] * batch / max(facts["wall_s"], 1e-3)
    # data are read again before the first step, and some of the time goes to judging the model
    startup = max(0.0, work.clock() - began - facts["wall_s"])
    crops = int(min(work.scale.crops, SPENT_TRAINING * speed * (deadline - work.clock() - startup)))
    if crops < max(batch, work.scale.least_crops):
        raise OutOfTime(f"at {speed:.0f} crops/s there is time for {max(0, crops):,} crops, too few to learn from")
    work.log(f"{system.name}: {speed:.0f} crops/s, so {crops:,} crops")
    return {"epochs": crops / people, "crops": crops, "crops_per_s": speed, "compiled": compiled}


def train(
    system: System, work: Work, folder: Path, changes: Mapping[str, Any], deadline: float, **more: Any
) -> dict[str, Any]:
    """Run one training, or a part of it, with `more` fields of its request; return the facts of its manifest."""
    from sharpose.training.request import TrainingRequest
    from sharpose.training.session import train_and_export

    asked = TrainingRequest(
        model=system.model,
        recipe=RECIPE,
        changes=changes,
        data=DATA,
        out=folder,
        init=work.start,
        from_scratch=work.start is None,
        workers=work.workers,
        preload=work.is_gpu,
        precision="auto",
        points=3,
        device=work.device.kind,
        deadline=deadline,
        **more,
    )
    return train_and_export(asked)


def save_unfinished(system: System, work: Work, folder: Path, changes: Mapping[str, Any]) -> None:
    """Save the weights of the latest checkpoint in half precision: what there is to look at, should nobody go on."""
    from sharpose.training.checkpoints import WEIGHTS, latest_checkpoint, read_state
    from sharpose.weights.files import read_weights, save_tensors

    checkpoint = latest_checkpoint(folder, warn=work.log)
    if checkpoint is None:
        return
    tensors = {name: value.half() for name, value in read_weights(checkpoint / WEIGHTS).items()}
    state = read_state(checkpoint)
    facts = {"model": system.model, "finished": False, "steps": state["step"], "curve": state.get("curve", [])}
    recipe = {"name": RECIPE, **{key: str(value) for key, value in changes.items()}}
    save_tensors(tensors, folder / f"{system.model}-unfinished.safetensors", {**facts, "recipe": recipe})
