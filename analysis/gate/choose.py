"""A quality threshold chosen on some people and reported on others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.gate.gate import RESAMPLES, Candidate, Cost, Gate, pick, sweep
from analysis.gate.gate_table import cost_of
from analysis.gate.predictions import Predictions, read_predictions
from analysis.tables.derived import columns_of, derive, frame_of
from analysis.tables.lines import Line, read_lines, row_of
from analysis.tables.origins import run_command
from analysis.tables.statistics import value_and_ends
from experiments.cells.cells import cells
from experiments.cells.provenance import local_device
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import load_one_spec
from experiments.spec.yamlfile import SpecError
from results.records import Record
from results.store import Store


def point_facts(gate: Gate, threshold: float, cost: Cost) -> dict[str, float | None]:
    """Return what a threshold gives as plain numbers: AP and shares as fractions, `macs` per person."""
    point = gate.point(threshold)
    return {
        **value_and_ends("ap", point.interval, 1),
        **value_and_ends("ap_minus_all", point.minus_all, 1),
        "exited": point.exited,
        "macs": cost.expected(point.refine_rate),
    }


def choose_threshold(
    row: str,
    *,
    budget: float | None = None,
    max_ap_loss: float | None = None,
    specs: Sequence[str] = ("figure6", "figure6-test"),
    tier: str = "nano",
    store: Store | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Pick on the first spec's people and report on the second's; nothing is measured.

    Returns the row, its `quality_threshold`, and what that gives on the people it was `chosen_on` and `reported_on`.
    budget: expected multiply-adds per person; max_ap_loss: a fraction of 1, below refining everybody. Raises SpecError
    when a row or its predictions are missing, or no threshold fits.
    """
    store = store or Store()
    if len(set(specs)) < len(specs):
        raise SpecError(f"{specs[0]}: chosen and reported on the same people, which flatters; name two specs")
    lines = [find_line(spec, row, tier, store) for spec in specs]
    first, second = (read_predictions(line.records["predictions"]) for line in lines)
    cost = cost_of(lines[0])
    found = stored_sweep(lines[0].records["predictions"], first, (specs[0], row), store)
    picked = pick(found, cost, budget=budget, max_ap_loss=max_ap_loss)
    if picked is None:
        raise SpecError(
            f"no threshold fits: the coarse stage alone takes {cost.coarse / 1e9:.2f} G multiply-adds; raise --budget"
        )
    facts: dict[str, Any] = {"row": row, "quality_threshold": picked.threshold}
    for name, line, people in zip(("chosen_on", "reported_on"), lines, (first, second), strict=True):
        dataset = str(line.records["predictions"].provenance.get("dataset"))
        facts[name] = {"dataset": dataset, **point_facts(Gate(people, resamples), picked.threshold, cost)}
    return facts


def stored_sweep(record: Record, people: Predictions, asked_by: tuple[str, str], store: Store) -> list[Candidate]:
    """Return every candidate threshold on the people of a record, computed where it is not stored."""

    def compute() -> dict[str, Any]:
        # the intervals of candidates are not looked at, so choosing needs no bootstrap
        return columns_of(pd.DataFrame(sweep(Gate(people, resamples=0))))

    numbers = derive("sweep", {}, record, compute, asked_by=asked_by, store=store).metrics
    return [Candidate(*row) for row in frame_of(numbers).itertuples(index=False)]


def find_line(spec: str, row: str, tier: str, store: Store) -> Line:
    """Return a row of a spec with its records. Raises SpecError where predictions or cost are missing."""
    loaded = load_one_spec(spec, tier)
    lines = read_lines(loaded, cells(loaded, open_catalog(tier), local_device("cpu")), store)
    line = row_of(lines, row, spec)
    for measure in ("predictions", "cost"):
        if measure not in line.cells:
            raise SpecError(f"{spec} does not measure {measure}; name a spec of kind gate, such as figure6")
        if measure not in line.records:
            why = line.cells[measure].blocked or f"run `{run_command(line.cells[measure])}` first"
            raise SpecError(f"{spec} {row}: no {measure} are stored: {why}")
    return line
