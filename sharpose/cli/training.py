"""Commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import (
    PEOPLE,
    Category,
    Deterministic,
    Json,
    Model,
    Settings,
    app,
    harness,
    named,
    parse_settings,
    show,
)
from sharpose.cli.listing import TABLES, TRAIN
from sharpose.runtime.errors import InputError, RunFailed


@app.command(rich_help_panel=TRAIN)
def train(
    model: Model,
    data: Annotated[list[str], typer.Option(help=f"{PEOPLE} Repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, and for the weights at the end.")],
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of images, one for each annotations file, in their order.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's name or YAML file; default: the model's own.")] = "",
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare crops.")] = 0,
    precision: Annotated[str, typer.Option(help="no, bf16, fp16, or auto: bf16 where the device has it.")] = "no",
    preload: Annotated[bool, typer.Option(help="Keep decoded images in memory.")] = False,
    init: Annotated[
        str, typer.Option(help="Start from these weights: ours, an image encoder's, or timm:NAME; resampled to fit.")
    ] = "",
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Random weights, where the recipe wants a start.")
    ] = False,
    validate: Annotated[
        list[str] | None, typer.Option(help="A named set on which AP and PCK are followed; repeatable.")
    ] = None,
    points: Annotated[int, typer.Option(min=1, help="How often, at the end and at halves of the way to it.")] = 5,
    log_with: Annotated[
        list[str] | None, typer.Option(help="tensorboard, wandb, mlflow or trackio; repeatable.")
    ] = None,
    by_name: Annotated[
        bool, typer.Option("--by-name", help="Match the data's keypoints with the model's by their names.")
    ] = False,
    category: Category = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this step (the schedule stays).")] = None,
    crops: Annotated[
        int | None, typer.Option(min=1, help="Shorten the whole recipe so that it sees so many crops.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the transformer blocks (torch.compile).")
    ] = False,
    deterministic: Deterministic = False,
    as_json: Json = False,
) -> None:
    """Train a model on one or several data sets, resuming from --out where it holds checkpoints.

    Example: sharpose train --model sharpose-nano-128x96 --data mannequin2-train --out runs/nano --preload
    """
    # every option by its own name, before anything else has one here
    options = dict(locals())
    from sharpose.evaluation.validation import validate_on
    from sharpose.training.request import TrainingRequest
    from sharpose.training.session import train_and_export

    options |= {"changes": parse_settings(settings), "validate": validate_on(validate or ())}
    options |= {"images": images or (), "init": init or None, "log_with": log_with or ()}
    facts = train_and_export(TrainingRequest(**named(TrainingRequest, options)))
    show(facts, as_json, f"{facts['weights']}  after {facts['steps']} steps, {facts['wall_s'] / 60:.1f} min")


@app.command(rich_help_panel=TRAIN)
def runs(
    folder: Annotated[Path, typer.Argument(help="A folder of trainings, or one training, whose curves are drawn.")] = (
        Path("runs")
    ),
    as_json: Json = False,
) -> None:
    """List trainings: running, stopped or done, their steps and loss, AP and PCK over the crops that they have seen.

    Example: sharpose runs runs
    """
    from sharpose.training.runs import curve_lines, table_lines, trainings

    found = trainings(folder)
    lines = table_lines(found) if found else [f"{folder}: no training here"]
    if len(found) == 1:
        lines += curve_lines(found[0])
    show([one.as_dict() for one in found], as_json, "\n".join(lines))


@app.command(rich_help_panel=TABLES)
def train_missing(
    tier: Annotated[str, typer.Option(help="The tier whose shared budget is meant.")] = "nano",
    budget: Annotated[str, typer.Option(help="Time to spend in all: 90s, 60m, 1.5h.")] = "60m",
    only: Annotated[list[str] | None, typer.Option(help="A system; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of run folders, one per system; default: runs/TIER.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; default: cuda where there is one.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare crops.")] = 0,
    preload: Annotated[bool, typer.Option(help="Keep decoded images in memory.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="The weights that systems with a common start begin with, where none ship.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train what the tables lack with their shared budget, the most valuable first, until the time is spent.

    A system that is stopped goes on in the next call. Where the tier has a list of learning rates, each is first tried
    in small, and the best is taken. Finished weights are put into results/weights/TIER.

    Example: sharpose train-missing --tier nano --budget 60m
    """
    missing = harness("experiments.run.train_missing")
    if device not in ("", "cpu", "cuda"):
        raise InputError(f"--device {device!r} does not work: it must be cpu or cuda")
    seconds = missing.parse_duration(budget)
    folder = {} if out is None else {"out": out}
    how = missing.Training(device=device or None, workers=workers, preload=preload, start=start, **folder)
    outcomes = missing.train_missing(tier, seconds, only or (), how)
    show([vars(outcome) for outcome in outcomes], as_json, "\n".join(outcome.line for outcome in outcomes))
    failed = [outcome.name for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise RunFailed(f"{', '.join(failed)}: failed, see above; the checkpoints are kept")
