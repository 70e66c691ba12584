"""What is made for elsewhere: tables as files, and models as ONNX graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import Device, Json, Settings, Tier, Weights, app, harness, parse_settings, show
from sharpose.cli.listing import USE
from sharpose.runtime.errors import InputError


@app.command(rich_help_panel=USE)
def export(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model, with --onnx.")] = None,
    onnx: Annotated[Path | None, typer.Option(help="A new folder for the model's ONNX graphs.")] = None,
    weights: Weights = None,
    settings: Settings = None,
    name: Annotated[str, typer.Option("--table", help="A table's number or name, or all.")] = "all",
    format: Annotated[str, typer.Option(help="markdown, csv, latex or text; or all, into a folder.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A file for one table, or a folder; default: print.")] = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Export tables from the store as files for elsewhere (nothing is measured); or a model as ONNX graphs, checked.

    SHaRPose becomes two graphs, coarse and fine, with the early exit between them left to the caller; other systems
    one. All take any batch. α and the other options are those given with --set.

    Example: sharpose export --table 3 --format latex --out table3.tex

    Example: sharpose export sharpose-nano-128x96 --onnx graphs --set alpha=.3
    """
    if (model is None) != (onnx is None):
        raise InputError(
            "a model is exported with both its name and a folder: sharpose export MODEL --onnx DIR; "
            "a table by its name: sharpose export --table NAME"
        )
    if model is not None and onnx is not None:
        if name != "all" or out is not None or format != "csv":
            raise InputError("--table, --format and --out are for tables; a model's graphs go to the folder of --onnx")
        export_graphs(model, onnx, weights, settings, as_json)
        return
    if weights is not None or settings:
        raise InputError("--weights and --set are for a model: sharpose export MODEL --onnx DIR")
    export_tables(name, format, out, tier, device, as_json)


def export_tables(name: str, format: str, out: Path | None, tier: str, device: str, as_json: bool) -> None:
    """Write tables in their formats, or print them without `out`. Raises InputError where several meet one file."""
    tables, rendering = harness("analysis.tables.tables"), harness("analysis.tables.render")
    formats = list(rendering.FORMATS) if format == "all" else [format]
    bench = harness("analysis.tables.bench")
    timed = bench.bench_tables(device=device) if name == "all" else []
    built = raw = [*tables.build_tables([name], tier=tier, device=device), *timed]
    if "csv" in formats:
        raw = harness("analysis.tables.raw").for_files(
            built[: len(built) - len(timed)], [name], tier=tier, device=device
        )
        raw += bench.for_files(timed) if timed else []
    texts = {
        (one.id, form): rendering.render(numbers if form == "csv" else one, form)
        for one, numbers in zip(built, raw, strict=True)
        for form in formats
    }
    if out is None:
        show([rendering.as_dict(one) for one in built], as_json, "\n".join(texts.values()))
        return
    into_file = out.suffix != "" and not out.is_dir()
    if into_file and len(texts) > 1:
        what = f"{name!r} means {len(built)} tables" if len(built) > 1 else f"--format all means {len(formats)} files"
        raise InputError(f"--out {out}: {what}; name a folder, or choose one")
    paths = [out if into_file else out / f"{id_}.{rendering.SUFFIXES[form]}" for id_, form in texts]
    store = harness("results.store")
    for path, text in zip(paths, texts.values(), strict=True):
        store.write(path, text.encode())
    show([str(path) for path in paths], as_json, "\n".join(map(str, paths)))


def export_graphs(name: str, folder: Path, weights: str | None, settings: list[str] | None, as_json: bool) -> None:
    """Write a model's graphs and manifest into `folder`; print each graph's file, tensors and error against torch.

    The weights are those that `Pose` takes.
    """
    options = parse_settings(settings)
    from sharpose.backends.onnx_export import export_model
    from sharpose.inference.pose import loaded
    from sharpose.models.registry import describe
    from sharpose.runtime.files import check_folder, sha256_of
    from sharpose.runtime.progress import say

    check_folder(folder)
    model, found = loaded(name, weights, options)
    digest = None if found is None else sha256_of(found.path)
    if found is not None and weights is None:
        name = found.model
    if found is not None and found.warning:
        say(f"warning: {found.warning}")
    facts = {"model": name, "options": options, "config": describe(model.config), "weights_sha256": digest}
    facts["weights"] = found.name if found else "random"
    manifest = export_model(model, folder, facts)
    lines = []
    for graph in manifest["graphs"].values():
        error = graph["largest_relative_error"]
        against = "not checked: onnxruntime is not installed" if error is None else f"{error:.1e} from torch"
        lines.append(
            f"{folder / graph['file']}  {', '.join(graph['inputs'])} → {', '.join(graph['outputs'])}  ({against})"
        )
    show({"folder": str(folder), **manifest}, as_json, "\n".join(lines))
