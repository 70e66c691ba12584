"""Commands of the harness: measure, store, tables, figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import Device, Json, app, harness, show
from sharpose.errors import InputError

Specs = Annotated[list[str] | None, typer.Argument(metavar="SPEC…", help="Spec files or names; default: all.")]
Tier = Annotated[str, typer.Option(help="Scale at which accuracy is measured: nano or paper.")]
Coco = Annotated[Path | None, typer.Option(help="The COCO folder, for the paper tier (or SHARPOSE_COCO).")]


@app.command()
def run(
    specs: Specs = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    measures: Annotated[
        list[str] | None, typer.Option("--measure", help="cost, accuracy, predictions or throughput; repeat.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is stored.")] = False,
    print_tables: Annotated[bool, typer.Option("--table", help="Then print the tables, as `table` does.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what the store lacks of the specs' cells; one record each.

    Example: sharpose run experiments/table6a.yaml
    """
    running = harness("experiments.run")
    chosen = measures or list(running.ORDER)
    for measure in chosen:
        if measure not in running.ORDER:
            raise InputError(f"--measure {measure!r} does not work: it must be one of {', '.join(running.ORDER)}")
    summary = running.run_specs(specs or (), tier=tier, device=device, coco=coco, measures=chosen, again=again)
    cells = [status.as_dict() for status in summary.statuses]
    stored = sum(status.state == "stored" for status in summary.statuses)
    lines = [f"{summary.measured} cells measured, {stored} of {len(cells)} stored"]
    lines += [f"cannot be measured here: {status.cell.name}: {status.reason}" for status in summary.blocked]
    if print_tables:
        print("\n".join(lines), file=sys.stderr)
        print_and_write(specs or [], "text", tier, device, as_json)
        return
    show({"measured": summary.measured, "cells": cells}, as_json, "\n".join(lines))


@app.command()
def status(
    specs: Specs = None, tier: Tier = "nano", device: Device = "cpu", coco: Coco = None, as_json: Json = False
) -> None:
    """Every cell of every table: stored, missing, or why it cannot be measured here.

    Example: sharpose status table6a
    """
    cells = harness("experiments.run").status(specs or (), tier=tier, device=device, coco=coco)
    lines = [
        f"{cell.state:8} {cell.cell.name:40} "
        + (cell.reason or ("" if cell.record is None else "published" if cell.record.published else "local"))
        for cell in cells
    ]
    counts = {state: sum(cell.state == state for cell in cells) for state in ("stored", "missing", "blocked")}
    lines.append(", ".join(f"{count} {state}" for state, count in counts.items()))
    show([cell.as_dict() for cell in cells], as_json, "\n".join(line.rstrip() for line in lines))


@app.command()
def table(
    name: Annotated[str, typer.Argument(help="A table's number or name: 6, 6a, table6b; or all.")],
    format: Annotated[str, typer.Option(help="text, markdown, csv or latex.")] = "text",
    tier: Tier = "nano",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Print a table from the store (nothing is measured) and write its CSV to results/csv.

    Example: sharpose table 6
    """
    print_and_write([name], format, tier, device, as_json)


def print_and_write(names: list[str], format: str, tier: str, device: str, as_json: bool) -> None:
    """Tables from the store: printed, and their raw numbers to results/csv."""
    tables, rendering = harness("analysis.tables"), harness("analysis.render")
    built = tables.build_tables(names, tier=tier, device=device)
    texts = [rendering.render(one, format) for one in built]
    for one in built:
        rendering.write_csv(one)
    show([rendering.as_dict(one) for one in built], as_json, "\n".join(texts))


@app.command()
def export(
    name: Annotated[str, typer.Option("--table", help="A table's number or name, or all.")] = "all",
    format: Annotated[str, typer.Option(help="markdown, csv, latex or text.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="A file for one table, or a folder; default: print.")] = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Tables from the store as files for elsewhere; nothing is measured.

    Example: sharpose export --table 3 --format latex --out table3.tex
    """
    tables, rendering = harness("analysis.tables"), harness("analysis.render")
    built = tables.build_tables([name], tier=tier, device=device)
    texts = [rendering.render(one, format) for one in built]
    if out is None:
        show([rendering.as_dict(one) for one in built], as_json, "\n".join(texts))
        return
    into_file = out.suffix != "" and not out.is_dir()
    if into_file and len(built) > 1:
        raise InputError(f"--out {out}: {name!r} means {len(built)} tables; name a folder, or one table")
    paths = [out if into_file else out / f"{one.id}.{rendering.SUFFIXES[format]}" for one in built]
    store = harness("results.store")
    for path, text in zip(paths, texts, strict=True):
        store.write(path, text.encode())
    show([str(path) for path in paths], as_json, "\n".join(map(str, paths)))


@app.command()
def figures(
    example: Annotated[bool, typer.Option("--example", help="First run the model on the people shown.")] = False,
    as_json: Json = False,
) -> None:
    """Draw results/figures from the store and the stored examples.

    Example: sharpose figures
    """
    if example:
        harness("experiments.example").save_examples()
    paths = [str(path) for path in harness("analysis.figures").save_all()]
    show(paths, as_json, "\n".join(paths))


@app.command()
def publish(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID…", help="`all` publishes every local record.")],
    as_json: Json = False,
) -> None:
    """Copy local records to results/published, to be committed.

    Example: sharpose publish all
    """
    store = harness("results.store").Store()
    local = [record.run_id for record in store.records() if not record.published]
    paths = [str(store.publish(run_id)) for run_id in (local if run_ids == ["all"] else run_ids)]
    show(paths, as_json, "\n".join(paths) or "no local records")
