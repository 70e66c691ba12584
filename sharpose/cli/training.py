"""Commands that train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import Deterministic, Json, Model, Settings, app, parse_settings, show


@app.command()
def train(
    model: Model,
    data: Annotated[str, typer.Option(help="A generated set (mannequin-train), or a COCO annotations file.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, and for the weights at the end.")],
    images: Annotated[Path | None, typer.Option(help="Folder of images, with an annotations file.")] = None,
    recipe: Annotated[str, typer.Option(help="A recipe's name or YAML file; default: the model's own.")] = "",
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare crops.")] = 0,
    precision: Annotated[str, typer.Option(help="no, bf16 or fp16.")] = "no",
    preload: Annotated[bool, typer.Option(help="Keep decoded images in memory.")] = False,
    init: Annotated[
        Path | None, typer.Option(help="Start from these weights, resampled where the size differs.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this step (the schedule stays).")] = None,
    deterministic: Deterministic = False,
    as_json: Json = False,
) -> None:
    """Train a model, resuming from --out where it holds checkpoints.

    Example: sharpose train --model sharpose-nano-128x96 --data mannequin-train --out runs/nano --preload
    """
    from sharpose.training.session import train_and_export

    facts = train_and_export(
        model_name=model,
        recipe_name=recipe,
        changes=parse_settings(settings),
        data=data,
        images=images,
        out=out,
        seed=seed,
        workers=workers,
        precision=precision,
        preload=preload,
        init=init,
        max_steps=max_steps,
        deterministic=deterministic,
    )
    show(facts, as_json, f"{facts['weights']}  after {facts['steps']} steps, {facts['wall_s'] / 60:.1f} min")
