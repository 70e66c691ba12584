"""Commands of the harness: measure, store, tables, figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import Device, Json, Tier, app, harness, parse_settings, show
from sharpose.errors import InputError

Specs = Annotated[list[str] | None, typer.Argument(metavar="SPEC…", help="Spec files or names; default: all.")]
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
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what the rows need at the paper tier: data, weights, hours.")
    ] = False,
    launcher: Annotated[str, typer.Option(help="Run the cells as jobs: local or slurm.")] = "",
    at_once: Annotated[int, typer.Option(min=1, help="Jobs that run at the same time.")] = 4,
    slurm: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a job: partition=gpu; may be repeated.")
    ] = None,
    print_tables: Annotated[bool, typer.Option("--table", help="Then print the tables, as `table` does.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what the store lacks of the specs' cells; one record each.

    Example: sharpose run experiments/table6a.yaml
    """
    if plan:
        planning = harness("experiments.plan")
        needs = planning.plan(specs or (), tier=tier, device=device, coco=coco)
        show(planning.as_dict(needs), as_json, "\n".join(planning.lines(needs)))
        return
    running = harness("experiments.run")
    chosen = measures or list(running.ORDER)
    for measure in chosen:
        if measure not in running.ORDER:
            raise InputError(f"--measure {measure!r} does not work: it must be one of {', '.join(running.ORDER)}")
    how = {"tier": tier, "device": device, "coco": coco, "measures": chosen, "again": again}
    if launcher:
        jobs = {"launcher": launcher, "at_once": at_once, "options": parse_settings(slurm)}
        summary = harness("experiments.launch").launch(specs or (), **how, **jobs)
    elif slurm:
        raise InputError("--slurm options need --launcher slurm")
    else:
        summary = running.run_specs(specs or (), **how)
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
