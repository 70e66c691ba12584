"""Commands of the harness: measure, store, tables, figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Device, Json, Tier, app, harness, parse_settings, show
from sharpose.cli.listing import TABLES
from sharpose.runtime.errors import InputError, RunFailed
from sharpose.runtime.progress import say

Specs = Annotated[list[str] | None, typer.Argument(metavar="SPEC…", help="Spec files or names; default: all.")]
Measures = Annotated[
    list[str] | None, typer.Option("--measure", help="cost, accuracy, predictions, throughput, or a plug-in's; repeat.")
]
Coco = Annotated[Path | None, typer.Option(help="The COCO folder, for the paper tier (or SHARPOSE_COCO).")]


@app.command(rich_help_panel=TABLES)
def run(
    specs: Specs = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    measures: Measures = None,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is stored.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what the rows need: data, weights, hours; nothing is measured.")
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

    Example: sharpose run experiments/specs/table6a.yaml
    """
    if plan and (measures or again or launcher or slurm or print_tables):
        raise InputError("--plan measures nothing; leave out --measure, --again, --launcher, --slurm and --table")
    if plan:
        planning = harness("experiments.run.plan")
        needs = planning.plan(specs or (), tier=tier, device=device, coco=coco)
        show(planning.as_dict(needs), as_json, "\n".join(planning.lines(needs)))
        return
    running = harness("experiments.run.run")
    how = {"tier": tier, "device": device, "coco": coco, "measures": measures, "again": again}
    if slurm and not launcher:
        raise InputError("--slurm options need --launcher slurm")
    try:
        if launcher:
            jobs = {"launcher": launcher, "at_once": at_once, "options": parse_settings(slurm, "--slurm")}
            summary = harness("experiments.run.launch").launch(specs or (), **how, **jobs)
        else:
            summary = running.run_specs(specs or (), **how)
    except harness("results.records").StoreError:
        # what is stored can be read where nothing can be written
        if print_tables:
            print_and_write(specs or [], "text", tier, device, as_json)
        raise
    cells = [status.as_dict() for status in summary.statuses]
    stored = sum(status.state == "stored" for status in summary.statuses)
    lines = [f"{summary.measured} cells measured, {stored} of {len(cells)} stored"]
    lines += [f"{len(those)} cannot be measured here: {reason}" for reason, those in running.reasons(summary.blocked)]
    if print_tables:
        say("\n".join(lines))
        print_and_write(specs or [], "text", tier, device, as_json)
    else:
        show({"measured": summary.measured, "cells": cells}, as_json, "\n".join(lines))
    if summary.failures:
        raise RunFailed(f"{len(summary.failures)} measurements failed; the first: {summary.failures[0]}")


@app.command(rich_help_panel=TABLES)
def fill(
    specs: Specs = None,
    budget: Annotated[str, typer.Option(help="How long to measure: 90s, 25m, 1.5h.")] = "25m",
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    measures: Measures = None,
    as_json: Json = False,
) -> None:
    """Measure missing cells within a budget of time: what fills most cells per second first.

    Nothing is started that is not expected to end in time; what is left is listed.

    Example: sharpose fill --budget 25m --device cuda
    """
    seconds = harness("experiments.run.train_missing").parse_duration(budget)
    filled = harness("experiments.run.fill").fill(
        specs or (), budget_s=seconds, tier=tier, device=device, coco=coco, measures=measures
    )
    stored = sum(status.state == "stored" for status in filled.statuses)
    lines = [f"{filled.measured} cells measured in {filled.seconds:.0f} s, {stored} of {len(filled.statuses)} stored"]
    lines += [
        f"left: {job.name} (fills {job.shows}, should take {job.expected_s:.0f} s): {job.reason}" for job in filled.left
    ]
    lines += [f"failed: {job.name}: {job.reason}" for job in filled.failures]
    lines.append(f"{len(filled.blocked)} cells cannot be measured here (sharpose status says why)")
    parts: dict[str, Any] = {part: [job.as_dict() for job in getattr(filled, part)] for part in ("left", "failures")}
    cells = [status.as_dict() for status in filled.statuses]
    show({"measured": filled.measured, "seconds": filled.seconds, **parts, "cells": cells}, as_json, "\n".join(lines))
    if filled.failures:
        raise RunFailed(f"{len(filled.failures)} measurements failed; the first: {filled.failures[0].reason}")


@app.command(rich_help_panel=TABLES)
def status(
    specs: Specs = None,
    tier: Tier = "nano",
    device: Device = "cpu",
    coco: Coco = None,
    every: Annotated[bool, typer.Option("--all", help="Also a line for every cell.")] = False,
    as_json: Json = False,
) -> None:
    """Say how much of every table is stored, and why the rest cannot be measured here; with --all, cell by cell.

    Example: sharpose status table6a --all
    """
    running = harness("experiments.run.run")
    cells = running.status(specs or (), tier=tier, device=device, coco=coco)
    room = max((len(cell.cell.name) for cell in cells), default=0)
    lines = [f"{cell.state:8} {cell.cell.name:{room}} {where(cell)}" for cell in cells] + [""] if every else []
    lines += standing_lines(running.standings(cells), list(running.MEASURES))
    lines += [
        "",
        *(f"{len(those):3} cell{'s' if len(those) > 1 else ' '} {reason}" for reason, those in running.reasons(cells)),
    ]
    counts = {state: sum(cell.state == state for cell in cells) for state in ("stored", "missing", "blocked")}
    lines.append(
        f"{len(cells)} cells: {counts['stored']} stored, {counts['missing']} missing (sharpose fill measures them), "
        f"{counts['blocked']} cannot be measured here" + ("" if every else "; --all lists them")
    )
    show([cell.as_dict() for cell in cells], as_json, "\n".join(line.rstrip() for line in lines))


def standing_lines(standings: list[Any], measures: Sequence[str]) -> list[str]:
    """Return a line for every table: of each measure, how many of its cells are stored."""
    stored: dict[str, dict[str, str]] = {}
    for one in standings:
        stored.setdefault(one.spec, {})[one.measure] = f"{one.stored} of {one.stored + one.missing + one.blocked}"
    room = max(map(len, ["stored", *stored]))
    rows = [
        ["stored", *measures],
        *([spec, *(cells.get(one, "") for one in measures)] for spec, cells in stored.items()),
    ]
    return [f"{spec:{room}}" + "".join(f"{cell:>13}" for cell in cells) for spec, *cells in rows]


def where(status: Any) -> str:
    """Return whose record a cell has, or why it can have none here."""
    return status.reason or ("" if status.record is None else "published" if status.record.published else "local")


@app.command(rich_help_panel=TABLES)
def table(
    name: Annotated[str, typer.Argument(help="A table's number or name: 6, 6a, table6b; or all.")],
    format: Annotated[str, typer.Option(help="text, markdown, csv or latex.")] = "text",
    tier: Tier = "nano",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Print a table from the store (nothing is measured), and write its raw numbers to results/local/csv.

    Those of a spec of your own go beside it.

    Example: sharpose table 6
    """
    print_and_write([name], format, tier, device, as_json)


def print_and_write(names: list[str], format: str, tier: str, device: str, as_json: bool) -> None:
    """Print tables from the store, and write their raw numbers to files, where that is possible."""
    tables, rendering = harness("analysis.tables.tables"), harness("analysis.tables.render")
    built = tables.build_tables(names, tier=tier, device=device)
    texts = [rendering.render(one, format) for one in built]
    show([rendering.as_dict(one) for one in built], as_json, "\n".join(texts))
    specs = harness("experiments.spec.reading").load_specs(names, tier)
    raw = harness("analysis.tables.raw").for_files(built, names, tier=tier, device=device)
    for loaded, one in zip(specs, raw, strict=True):
        try:
            say(f"raw numbers: {rendering.write_csv(one, rendering.csv_folder(loaded.path, tier))}")
        except harness("results.records").StoreError as error:
            # a table is read all the same
            say(f"raw numbers: {error}")


@app.command(rich_help_panel=TABLES)
def figures(
    example: Annotated[
        bool, typer.Option("--example", help="First run the model on the people that figures and report show.")
    ] = False,
    tier: Tier = "nano",
    as_json: Json = False,
) -> None:
    """Draw results/figures, or the tier's folder in it, from the store and the stored examples.

    Example: sharpose figures
    """
    if example:
        harness("experiments.tools.example").save_examples(tier)
        harness("experiments.tools.gallery").save_gallery(tier)
    paths = [str(path) for path in harness("analysis.figures").save_all(tier=tier)]
    show(paths, as_json, "\n".join(paths))


@app.command(rich_help_panel=TABLES)
def report(
    out: Annotated[Path | None, typer.Option(help="The HTML file; default: results/report.html, or -TIER.")] = None,
    tier: Tier = "nano",
    as_json: Json = False,
) -> None:
    """Write one HTML file that works offline: every table beside the paper's, the frontier, a gallery, how it was made.

    Example: sharpose report --out results/report.html
    """
    path = harness("analysis.report.report").save_report(out, tier=tier)
    size = path.stat().st_size
    show({"path": str(path), "bytes": size}, as_json, f"{path} ({size / 1e6:.1f} MB)")


@app.command(rich_help_panel=TABLES)
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
