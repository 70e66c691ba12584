"""The quality threshold: how good the coarse stage must be for an early exit."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from sharpose.cli.app import Device, Json, Tier, app, harness, show
from sharpose.cli.listing import TABLES
from sharpose.runtime.errors import InputError


@app.command("choose-threshold", rich_help_panel=TABLES)
def choose_threshold(
    budget: Annotated[str | None, typer.Option(help="Expected multiply-adds per person, e.g. 12G.")] = None,
    max_ap_loss: Annotated[
        float | None, typer.Option(help="Points of AP that may be lost to refining everybody, e.g. 0.3.")
    ] = None,
    row: Annotated[str, typer.Option(help="A row of both specs.")] = "256x192",
    choose_on: Annotated[str, typer.Option(help="A spec of kind gate, on whose people the threshold is picked.")] = (
        "figure6"
    ),
    report_on: Annotated[str, typer.Option(help="A spec of kind gate with other people.")] = "figure6-test",
    tier: Tier = "nano",
    as_json: Json = False,
) -> None:
    """Pick a quality threshold on one split and report it on another, from stored predictions.

    Example: sharpose choose-threshold --budget 12G
    """
    if (budget is None) == (max_ap_loss is None):
        raise InputError("give either --budget (e.g. 12G) or --max-ap-loss (e.g. 0.3)")
    if max_ap_loss is not None and not 0 <= max_ap_loss <= 100:
        raise InputError(f"--max-ap-loss {max_ap_loss} does not work: it must be points of AP from 0 to 100")
    facts = harness("analysis.gate.choose").choose_threshold(
        row,
        budget=None if budget is None else multiply_adds(budget),
        max_ap_loss=None if max_ap_loss is None else max_ap_loss / 100,
        specs=(choose_on, report_on),
        tier=tier,
    )
    lines = [f"quality threshold {facts['quality_threshold']:.4f} for {row} (--set quality_threshold=…)"]
    for key, said in (("chosen_on", "chosen on"), ("reported_on", "reported on")):
        part = facts[key]
        lines.append(
            f"{said} {part['dataset']}: AP {100 * part['ap']:.1f} [{100 * part['ap_low']:.1f}, "
            f"{100 * part['ap_high']:.1f}], {100 * part['ap_minus_all']:+.1f} [{100 * part['ap_minus_all_low']:+.1f}, "
            f"{100 * part['ap_minus_all_high']:+.1f}] against refining everybody; {100 * part['exited']:.1f} % exit "
            f"early; {part['macs'] / 1e9:.2f} GFLOPs (multiply-adds) expected"
        )
    show(facts, as_json, "\n".join(lines))


@app.command("choose-operating-point", rich_help_panel=TABLES)
def choose_operating_point(
    latency_ms: Annotated[
        float | None, typer.Option(help="Expected milliseconds per person, at most; default: every point worth taking.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose stages are timed, with random weights; default: the model of --rows.")
    ] = None,
    rows: Annotated[str, typer.Option(help="A spec of kind gate with a row per α, whose predictions are stored.")] = (
        "frontier"
    ),
    one_stage_ms: Annotated[
        float | None,
        typer.Option(help="Of a model that finds everybody at once: say for how many people this is as fast."),
    ] = None,
    detector_ms: Annotated[float, typer.Option(help="Of the detector before this one.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="People at a time.")] = 1,
    packed: Annotated[bool, typer.Option(help="Time the stages with packed weights, as `predict` does.")] = False,
    rounds: Annotated[int, typer.Option(min=1)] = 20,
    device: Device = "cpu",
    tier: Tier = "nano",
    as_json: Json = False,
) -> None:
    """Pick the α and the quality threshold with the best AP within a latency.

    The stages are timed here and now, interleaved; AP is that of stored predictions of every α. A one-stage model of
    that AP takes as long for one person as for ten: `--one-stage-ms` says how many it must find to be faster.

    Example: sharpose choose-operating-point --latency-ms 300
    """
    limits = {"--latency-ms": latency_ms, "--one-stage-ms": one_stage_ms}
    for option, value in limits.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{option} {value} does not work: it must be milliseconds, e.g. 300")
    if not (math.isfinite(detector_ms) and detector_ms >= 0):
        raise InputError(f"--detector-ms {detector_ms} does not work: it must be milliseconds per picture, e.g. 20")
    choosing = harness("analysis.gate.operating_point")
    theirs, labels = choosing.frontier_rows(rows, tier)
    name, alphas = model or theirs, list(labels)
    from sharpose.efficiency.stages import break_even, measure_stages
    from sharpose.runtime.devices import check_device
    from sharpose.runtime.progress import Reporter

    check_device(device)

    with Reporter(f"Timing {name}", rounds) as report:
        times = measure_stages(
            name, alphas, batch_size=batch, rounds=rounds, device=device, packed=packed, progress=report.progress
        )
    costs = {alpha: harness("analysis.gate.gate").Cost(times.coarse, times.fine[alpha]) for alpha in alphas}
    machine = str(harness("experiments.cells.provenance").local_device(device))
    facts: dict[str, Any] = {"tier": tier, "model": name, "batch_size": batch, "device": machine, "packed": packed}
    facts |= {"coarse_ms": times.coarse, "fine_ms": {str(alpha): one for alpha, one in times.fine.items()}}
    fine = ", ".join(f"{one:.3g} (α = {alpha:g})" for alpha, one in times.fine.items())
    timed = f"timed: {name}, batch {batch}, {machine}: coarse {times.coarse:.3g} ms per person, fine {fine}"

    if latency_ms is None:
        points = choosing.latency_frontier(costs, spec=rows, tier=tier)
        facts["points"] = points
        if one_stage_ms is not None:
            for one in points:
                one["break_even_people"] = break_even(one_stage_ms, detector_ms, one["latency_ms"])
        lines = [
            f"{one['latency_ms']:7.1f} ms  AP {100 * one['ap']:4.1f}  α = {one['alpha']:g}, quality threshold "
            f"{one['quality_threshold']:.4f}, {100 * one['refine_rate']:.0f} % refined"
            + ("" if one_stage_ms is None else f", as fast up to {one['break_even_people']:.1f} people")
            for one in steps(points)
        ]
        show(facts, as_json, "\n".join([*lines, timed]))
        return
    point = choosing.choose_operating_point(latency_ms, costs, spec=rows, tier=tier)
    facts |= vars(point)
    lines = [
        f"α = {point.alpha:g}, quality threshold {point.quality_threshold:.4f} "
        f"(--set alpha={point.alpha:g} --set quality_threshold={point.quality_threshold:.4f})",
        f"expected {point.latency_ms:.3g} ms per person: {100 * point.refine_rate:.1f} % are refined, who take "
        f"{point.latency_ms_refined:.3g} ms",
        f"AP {100 * point.ap:.1f} [{100 * point.ap_low:.1f}, {100 * point.ap_high:.1f}] on {point.dataset} ({tier} "
        "tier, chosen on these people)",
        timed,
    ]
    if one_stage_ms is not None:
        facts["break_even_people"] = people = break_even(one_stage_ms, detector_ms, point.latency_ms)
        lines.insert(-1, f"as fast as {one_stage_ms:g} ms for a whole picture up to {people:.1f} people in it")
    show(facts, as_json, "\n".join(lines))


def steps(points: list[dict[str, float]], ap: float = 0.005) -> list[dict[str, float]]:
    """Return the first point, every next one that is better by `ap`, and the last: what a terminal has room for."""
    shown = points[:1]
    for point in points[1:]:
        if point["ap"] >= shown[-1]["ap"] + ap:
            shown.append(point)
    return shown if shown[-1:] == points[-1:] else [*shown, points[-1]]


def multiply_adds(text: str) -> float:
    """Parse `12G` or a plain number. Raises InputError for anything else."""
    number, factor = (text[:-1], 1e9) if text[-1:].upper() == "G" else (text, 1.0)
    try:
        value = float(number) * factor
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"--budget {text!r} does not work: it must be multiply-adds per person, e.g. 12G")
    return value
