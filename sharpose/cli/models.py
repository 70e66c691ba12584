"""Commands about models: what there is, what it costs, whether it is exact, public weights into ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Json, Settings, app, harness, parse_settings, show
from sharpose.errors import InputError, RunFailed


@app.command()
def models(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The models of the paper's tables, as Markdown.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option(help="Put the Markdown between the two marker comments of this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Every model: parameters, multiply-adds by three counts, the paper's value, tokens, conformance, weights.

    Example: sharpose models --markdown
    """
    from sharpose.files import write_atomically
    from sharpose.models.registry import describe, list_models, resolve_config, tokens_per_block

    systems, as_in_readme = harness("analysis.systems"), markdown or into is not None
    store = harness("results.store").Store(published_only=as_in_readme)
    configs = {name: resolve_config(name) for name in list_models()}
    every = [systems.Model(name, describe(config), tokens_per_block(config)) for name, config in configs.items()]
    rows = systems.system_rows(every, store)
    notes = systems.notes(systems.latest_conformance(store))
    if as_in_readme:
        text = "\n\n".join([systems.as_markdown(systems.in_tables(rows)), " ".join(notes)])
    else:
        text = "\n".join([systems.as_text(rows), *notes])
    if into is not None:
        try:
            changed = systems.replaced_between_markers(into.read_text(encoding="utf-8"), text)
        except (OSError, ValueError) as error:
            raise InputError(f"{into}: {getattr(error, 'strerror', None) or error}") from None
        write_atomically(into, lambda temporary: temporary.write_text(changed, encoding="utf-8"))
        text = f"{into}: {len(systems.in_tables(rows))} models"
    show({row.model.name: row.as_dict() for row in rows}, as_json, text)


@app.command()
def cost(
    names: Annotated[list[str], typer.Argument(metavar="MODEL…")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Parameters and multiply-adds of one fully refined image, by three independent counts, stage by stage.

    Example: sharpose cost sharpose-base-256x192 sharpose-base-384x288 --set alpha=.3
    """
    from sharpose.models.registry import describe, resolve_config

    options = parse_settings(settings)
    # every name is checked before the first, slower, count
    configs = {name: describe(resolve_config(name, **options)) for name in names}
    from sharpose.efficiency.cost import measure_cost

    formulas = harness("analysis.closed_forms")
    rows, lines = {}, []
    for name, config in configs.items():
        row: dict[str, Any] = dict(measure_cost(name, options))
        formula, executed = formulas.cost(config["system"], config), formulas.executed(config["system"], config)
        row |= {"macs_closed_form": formula.macs, "params_closed_form": formula.params}
        row |= {"macs_closed_form_executed": executed.macs}
        row["disagreement"] = max(formulas.disagreement(config, row), formulas.executed_disagreement(config, row))
        rows[name] = row
        if row["disagreement"] > 1e-3:
            raise RunFailed(f"{name}: the three counts differ by {row['disagreement']:.2%}; none can be trusted")
        lines += cost_lines(name, row)
    show(rows, as_json, "\n".join(lines))


def cost_lines(name: str, row: Mapping[str, Any]) -> list[str]:
    """One model's costs, as published and as executed side by side."""
    lines = [
        f"{name}: {row['params'] / 1e6:.3f} M parameters; GFLOPs (multiply-adds), every stage run:",
        f"  {'':33}published executed   by stage as published (as executed)",
    ]
    for key, label in (("fvcore", "fvcore (the paper's convention)"), ("torch", "torch (products alone)")):
        parts = []
        for stage in ("coarse", "fine", "head"):
            if (macs := row.get(f"macs_{key}_{stage}")) is not None:
                now = row.get(f"macs_{key}_executed_{stage}", macs)
                parts.append(f"{stage} {macs / 1e9:.3f} ({now / 1e9:.3f})")
        both = f"{row[f'macs_{key}'] / 1e9:9.3f} {row[f'macs_{key}_executed'] / 1e9:8.3f}"
        lines.append(f"  {label:33}{both}   {'  '.join(parts)}".rstrip())
    both = f"{row['macs_closed_form'] / 1e9:9.3f} {row['macs_closed_form_executed'] / 1e9:8.3f}"
    apart = f"largest difference between counts {row['disagreement']:.4%}"
    return [*lines, f"  {'closed form (products alone)':33}{both}   {apart}"]


@app.command()
def conformance(
    folder: Annotated[Path, typer.Argument(help="A folder of cases (each a folder with case.json), or one case.")],
    save: Annotated[bool, typer.Option("--save", help="Also store what passed, for `sharpose models`.")] = False,
    as_json: Json = False,
) -> None:
    """Compare with the numbers of public reference implementations; exit code 1 when one differs.

    Example: sharpose conformance ../shared/golden
    """
    from sharpose.conformance.run import closing_line, run_cases

    verdicts = run_cases(folder)
    if save:
        harness("experiments.conformance").save_verdicts(folder, verdicts)
    text = "\n".join([*(verdict.line for verdict in verdicts), closing_line(verdicts)])
    rows = [{**vars(v), "worst": v.worst._asdict() if v.worst else None} for v in verdicts]
    show({"cases": rows, "summary": closing_line(verdicts)}, as_json, text)
    if any(verdict.status == "FAILED" for verdict in verdicts):
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A .safetensors or PyTorch file, or timm:NAME.")],
    model: Annotated[str, typer.Option("--as", help="Which of our models it is to be.")],
    out: Annotated[Path | None, typer.Option(help="Default: MODEL.safetensors here.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A name that may be missing, unexpected or resized; * and ?.")
    ] = None,
    settings: Settings = None,
    max_gigabytes: Annotated[float, typer.Option(min=0, help="Refuse larger files.")] = 8.0,
    as_json: Json = False,
) -> None:
    """Public weights into ours, strictly: SHaRPose's release, ViTPose, the CNN systems, or a ViT as a start.

    A timm name is read from timm's caches; nothing is downloaded. Pickled files are read without running their code.

    Example: sharpose import vitpose-b.pth --as vitpose-base-256x192 --out weights/vitpose-b.safetensors
    """
    from sharpose.checkpoints.importing import import_weights

    path = out or Path(f"{model}.safetensors")
    options = parse_settings(settings)
    report, facts = import_weights(
        file, model, path, options=options, allow=allow or (), max_bytes=int(max_gigabytes * 2**30)
    )
    what = "a start, for `sharpose train --init`" if report.start else "complete"
    show({"weights": str(path), **facts}, as_json, f"{report.line}\n{path}  ({what})")
