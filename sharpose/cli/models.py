"""Commands about models: what there is, what it costs, whether it is exact, public weights into ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sharpose.cli.app import Json, Settings, app, harness, in_checkout, parse_settings, show
from sharpose.cli.listing import USE
from sharpose.runtime.errors import InputError, RunFailed

if TYPE_CHECKING:
    from sharpose.models.layers.cost import Cost


@app.command(rich_help_panel=USE)
def models(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The models of the paper's tables, as Markdown.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option(help="Put the Markdown between the two marker comments of this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every model: parameters, multiply-adds by three counts, the paper's value, tokens, conformance, weights.

    Example: sharpose models --markdown
    """
    from sharpose.models.overview import all_models, as_text
    from sharpose.runtime.files import write_atomically

    every, as_in_readme = all_models(), markdown or into is not None
    if not in_checkout() and not as_in_readme:
        rows = {one.name: {**one.config, "tokens_per_block": one.tokens, **facts(one.cost)} for one in every}
        said = "G: 1e9 multiply-adds, everyone refined. Counts, conformance and weights: in a checkout."
        show(rows, as_json, "\n".join([as_text([one.cells for one in every]), said]))
        return
    systems = harness("analysis.tables.systems")
    store = harness("results.store").Store(published_only=as_in_readme)
    table = systems.system_rows(every, store)
    notes = systems.notes(systems.latest_conformance(store))
    if as_in_readme:
        text = "\n\n".join([systems.as_markdown(systems.in_tables(table)), " ".join(notes)])
    else:
        text = "\n".join([as_text([row.cells for row in table], systems.NUMBERS), *notes])
    if into is not None:
        try:
            changed = systems.replaced_between_markers(into.read_text(encoding="utf-8"), text)
        except (OSError, ValueError) as error:
            raise InputError(f"{into}: {getattr(error, 'strerror', None) or error}") from None
        write_atomically(into, lambda temporary: temporary.write_text(changed, encoding="utf-8"))
        text = f"{into}: {len(systems.in_tables(table))} models"
    show({row.model.name: row.as_dict() for row in table}, as_json, text)


@app.command()
def cost(
    names: Annotated[list[str], typer.Argument(metavar="MODEL…")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Count parameters and multiply-adds of one fully refined image, by two counters and closed form, stage by stage.

    Example: sharpose cost sharpose-base-256x192 sharpose-base-384x288 --set alpha=.3
    """
    from sharpose.models.registry import closed_form, resolve_config

    options = parse_settings(settings)
    # every name is checked before the first, slower, count
    forms = {name: closed_form(resolve_config(name, **options)) for name in names}
    from sharpose.efficiency.cost import counters_apart, measure_cost

    rows, lines = {}, []
    for name, form in forms.items():
        row: dict[str, Any] = dict(measure_cost(name, options))
        apart = counters_apart(row)
        row |= {"macs_closed_form": form and form.macs, "params_closed_form": form and form.params}
        row["disagreement"] = apart if form is None else max(apart, form.disagreement(row))
        rows[name] = row
        if row["disagreement"] > 1e-3:
            raise RunFailed(f"{name}: the counts differ by {row['disagreement']:.2%}; none can be trusted")
        lines += cost_lines(name, row)
    show(rows, as_json, "\n".join(lines))


def facts(cost: Cost | None) -> dict[str, int | None]:
    """Return parameters and multiply-adds in fvcore's convention by the closed form; None where a system has none."""
    return {"params": None, "macs": None} if cost is None else {"params": cost.params, "macs": cost.fvcore}


def cost_lines(name: str, row: Mapping[str, Any]) -> list[str]:
    """Return one model's costs, as published and as executed side by side."""
    from sharpose.models.overview import DASH, billions

    lines = [
        f"{name}: {row['params'] / 1e6:.3f} M parameters; GFLOPs (multiply-adds), every stage run:",
        f"  {'':33}published executed   by stage as published (as executed)",
    ]
    for key, label in (("fvcore", "fvcore (the paper's convention)"), ("torch", "torch (matmuls alone)")):
        parts = []
        for stage in ("coarse", "fine", "head"):
            if (macs := row.get(f"macs_{key}_{stage}")) is not None:
                now = row.get(f"macs_{key}_executed_{stage}", macs)
                parts.append(f"{stage} {macs / 1e9:.3f} ({now / 1e9:.3f})")
        both = f"{row[f'macs_{key}'] / 1e9:9.3f} {row[f'macs_{key}_executed'] / 1e9:8.3f}"
        lines.append(f"  {label:33}{both}   {'  '.join(parts)}".rstrip())
    both = f"{billions(row['macs_closed_form']):>9} {DASH:>8}"
    apart = f"largest difference between counts {row['disagreement']:.4%}"
    return [*lines, f"  {'closed form (matmuls alone)':33}{both}   {apart}"]


@app.command()
def conformance(
    folder: Annotated[Path, typer.Argument(help="A folder of cases (each a folder with case.json), or one case.")],
    save: Annotated[bool, typer.Option("--save", help="Also store what passed, for `sharpose models`.")] = False,
    as_json: Json = False,
) -> None:
    """Compare with the numbers of public reference implementations; exit code 1 when one differs.

    Example: sharpose conformance ../shared/golden
    """
    checker = harness("experiments.conformance.run")
    verdicts = checker.run_cases(folder)
    if save:
        checker.save_verdicts(folder, verdicts)
    text = "\n".join([*(verdict.line for verdict in verdicts), checker.closing_line(verdicts)])
    rows = [{**vars(v), "worst": v.worst._asdict() if v.worst else None} for v in verdicts]
    show({"cases": rows, "summary": checker.closing_line(verdicts)}, as_json, text)
    if any(verdict.status == "FAILED" for verdict in verdicts):
        raise typer.Exit(1)


@app.command("import", rich_help_panel=USE)
def import_(
    file: Annotated[str, typer.Argument(help="A .safetensors or PyTorch file, or timm:NAME.")],
    model: Annotated[str, typer.Option("--as", help="Which of our models it is to be.")],
    out: Annotated[Path | None, typer.Option(help="Default: MODEL.safetensors here.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="A name that may be missing, unexpected or resized; * and ?.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Which weights, where the file holds several, e.g. model_ema.")
    ] = None,
    settings: Settings = None,
    max_gigabytes: Annotated[float, typer.Option(min=0, help="Refuse larger files.")] = 8.0,
    as_json: Json = False,
) -> None:
    """Import public weights, strictly: SHaRPose's release, ViTPose, the CNN systems, or a ViT as a start.

    A timm name is read from timm's caches; nothing is downloaded. Pickled files are read without running their code.

    Example: sharpose import vitpose-b.pth --as vitpose-base-256x192 --out weights/vitpose-b.safetensors
    """
    from sharpose.weights.importing import import_weights

    path = out or Path(f"{model}.safetensors")
    options = parse_settings(settings)
    report, facts = import_weights(
        file, model, path, options=options, allow=allow or (), max_bytes=int(max_gigabytes * 2**30), key=key
    )
    what = "a start, for `sharpose train --init`" if report.start else "complete"
    origin = facts["imported_from"]
    there = ", ".join(map(repr, origin.get("also_there", ())))
    choice = f"\ntaken from {origin['key']!r}; the file also holds {there} (--key)" if there else ""
    show({"weights": str(path), **facts}, as_json, f"{report.line}{choice}\n{path}  ({what})")
