"""The front door: one command, `sharpose`. The only file here that may import from every folder, and always lazily."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.errors import InputError, RunFailed

app = typer.Typer(
    name="sharpose",
    help="SHaRPose, exact and measured: train, evaluate, count, time, and regenerate the paper's tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make and check data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. alpha=.3; may be repeated.")]
Model = Annotated[str, typer.Option("--model", help="A name that `sharpose models` lists.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


def main() -> None:
    """Run the command line; bad input ends in one line and exit code 2, a failed run in one line and 1."""
    try:
        app()
    except InputError as error:
        fail(str(error), 2)
    except RunFailed as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; what was complete is kept", 130)


def fail(message: str, code: int) -> None:
    print(f"sharpose: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def show(content: Any, as_json: bool, text: str) -> None:
    """The result of a command on standard output."""
    print(json.dumps(content, indent=1, default=str) if as_json else text)


def parse_settings(settings: list[str] | None) -> dict[str, Any]:
    """`--set` options as typed values. Raises InputError for one that is not NAME=VALUE."""
    import yaml

    parsed = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InputError(f"--set {setting!r} does not work: it must be NAME=VALUE, e.g. --set alpha=.3")
        try:
            # YAML reads .3 as a number, none as a word and null as nothing
            parsed[name.removeprefix("model.")] = None if value.lower() == "none" else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {setting!r}: the value cannot be read ({error.__class__.__name__})") from error
    return parsed


@app.command()
def models(as_json: Json = False) -> None:
    """List every model.

    Example: sharpose models
    """
    from dataclasses import asdict

    from sharpose.models.registry import list_models, resolve_config

    rows = {name: asdict(resolve_config(name)) for name in list_models()}
    lines = [
        f"{name:24} input {row['image_size'][0]}x{row['image_size'][1]}  width {row['embed_dim']:4}  "
        f"depth {row['depth']:2}  alpha {row['alpha']}  quality threshold {row['quality_threshold']}"
        for name, row in rows.items()
    ]
    show(rows, as_json, "\n".join(lines))


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
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this step (the schedule stays).")] = None,
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
        max_steps=max_steps,
    )
    show(facts, as_json, f"{facts['weights']}  after {facts['steps']} steps, {facts['wall_s'] / 60:.1f} min")


if __name__ == "__main__":
    main()
