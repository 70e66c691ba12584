"""What every command shares: the application, common options, how results and errors are shown, the harness."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sharpose.cli.listing import TRAIN, GroupedCommands
from sharpose.runtime.errors import InputError, first_line
from sharpose.runtime.plain_text import printable
from sharpose.runtime.progress import is_main_process

if TYPE_CHECKING:
    from sharpose.evaluation.request import EvaluationRequest

app = typer.Typer(
    name="sharpose",
    help="SHaRPose, exact and measured: train, evaluate, count, time, and regenerate the paper's tables.",
    cls=GroupedCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make and check data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data", rich_help_panel=TRAIN)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. alpha=.3; may be repeated.")]
Model = Annotated[str, typer.Option("--model", help="A name that `sharpose models` lists.")]
PEOPLE = "A named set (mannequin2-val), annotations in COCO's or MPII's format, or a folder of YOLO-pose or FiftyOne."
Data = Annotated[str | None, typer.Option("--data", help=PEOPLE)]
Images = Annotated[Path | None, typer.Option("--images", help="Folder of the images, where --data is a file.")]
Category = Annotated[
    str | None, typer.Option("--category", help="The keypoint category's name, where it is not person, or not alone.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Use algorithms alone that give the same bits each time, also on a GPU.")
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Tier = Annotated[str, typer.Option(help="Scale at which accuracy is measured: nano, photos, small or paper.")]
BACKENDS = "eager, compiled, packed[:bf16], onnxruntime[:int8] or openvino[:bf16]"
Backend = Annotated[str, typer.Option(help=f"{BACKENDS}.")]
Weights = Annotated[
    str | None, typer.Option(help="A .safetensors file or weights' name; `random` to try the pipeline.")
]


def print_version(asked: bool) -> None:
    """Print the version and end, where that was asked for."""
    if asked:
        from sharpose import __version__

        print(f"sharpose {__version__}")
        raise typer.Exit


@app.callback()
def main(
    plugins: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="MODULE|FILE.py", help="What registers systems of your own; may be repeated."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Load plug-ins before a command runs, so that it knows their systems."""
    if plugins:
        from sharpose.models.registry import load_plugins

        load_plugins(plugins)


def show(content: Any, as_json: bool, text: str) -> None:
    """Print the result of a command on standard output; of several processes the first one prints."""
    if not is_main_process():
        return
    print(json.dumps(content, indent=1, default=str) if as_json else printable(text))


def percent(value: float | None) -> str:
    """Return a fraction in percent with one digit; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def parse_settings(settings: list[str] | None, option: str = "--set") -> dict[str, Any]:
    """Return NAME=VALUE options as typed values, read as a spec's or recipe's. Raises InputError for one that fails.

    `model.NAME` is NAME; 3e-1 is a number; `none` is nothing; anchors and names that are given twice are refused.
    """
    from sharpose.runtime.plain_yaml import ERRORS, MAX_BYTES, option_value, plain_yaml

    parsed = dict[str, Any]()
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {setting!r} does not work: it must be NAME=VALUE, e.g. {option} alpha=.3")
        if (name := name.removeprefix("model.")) in parsed:
            raise InputError(f"{option} {name}: is given twice; keep one")
        shown = setting if len(setting) <= 60 else f"{setting[:59]}…"
        try:
            if len(value) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES:,} characters")
            parsed[name] = option_value(plain_yaml(value))
        except ERRORS as error:
            why = getattr(error, "problem", None) or first_line(error)
            raise InputError(f"{option} {shown!r}: the value cannot be read ({why})") from None
    return parsed


def evaluation_of(options: Mapping[str, Any], **others: Any) -> EvaluationRequest:
    """Return the evaluation that a command's options ask for, by the names of the request's fields and its people's."""
    from sharpose.evaluation.request import EvaluationRequest, People

    own = {"people": People(**named(People, options)), "options": parse_settings(options["settings"])}
    return EvaluationRequest(**{**named(EvaluationRequest, options), **own, **others})


def named(kind: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a dataclass has fields of the same names for."""
    return {field.name: options[field.name] for field in fields(kind) if field.name in options}


ROOT = Path(__file__).resolve().parents[2]


def in_checkout() -> bool:
    """Return whether the folders beside `sharpose` are there, which an installed wheel has not."""
    return (ROOT / "experiments" / "specs").is_dir()


def harness(module: str) -> Any:
    """Return a module beside `sharpose`. Raises InputError where it, or what it needs, is not there."""
    if not in_checkout():
        raise InputError(
            "this command needs the repository (experiments/, results/, analysis/); run it from a checkout"
        )
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"this command needs {error.name}; pip install -e '.[harness]'") from error
