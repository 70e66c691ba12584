"""A threshold chosen on some people and what it gives on others: the only gains of a gate that may be claimed."""

from __future__ import annotations

from typing import Any

from analysis.gate.choose import find_line, stored_sweep
from analysis.gate.gate import Gate, minus_random, pick
from analysis.gate.gate_table import SMALL_LOSS, cost_of, signed
from analysis.gate.predictions import read_predictions
from analysis.tables.derived import derive
from analysis.tables.lines import Line
from analysis.tables.statistics import value_and_ends
from experiments.spec.spec import LoadedSpec
from experiments.spec.yamlfile import SpecError
from results.store import Store


def held_out_text(loaded: LoadedSpec, lines: list[Line], tier: str, store: Store) -> list[str]:
    """Return what thresholds chosen on the people of `chosen_on` give on these, a line per row that has both."""
    if loaded.spec.chosen_on is None:
        return []
    said = []
    for line in lines:
        if "predictions" not in line.records or "cost" not in line.records:
            continue
        try:
            source = find_line(loaded.spec.chosen_on, line.row.label, tier, store)
        except SpecError:
            continue
        said += [row_text(line.row.label, facts) for facts in [held_out(loaded, line, source, store)] if facts]
    if not said:
        return []
    head = f"Chosen on the people of {loaded.spec.chosen_on} and reported on these, [95 % bootstrap interval]"
    return [f"{head}: {'; '.join(said)}."]


def held_out(loaded: LoadedSpec, line: Line, source: Line, store: Store) -> dict[str, Any] | None:
    """Return what two choices of a threshold give on other people; AP in percent.

    They are the cheapest within `SMALL_LOSS` AP, and that which is most above random exits. None where no threshold
    fits.
    """
    first, second = source.records["predictions"], line.records["predictions"]
    thresholds = loaded.spec.thresholds

    def compute() -> dict[str, Any]:
        chosen_on, reported_on = Gate(read_predictions(first), 0), Gate(read_predictions(second))
        found = stored_sweep(first, chosen_on.predictions, (str(loaded.spec.chosen_on), line.row.label), store)
        cheapest = pick(found, cost_of(source), max_ap_loss=SMALL_LOSS / 100)
        points = [chosen_on.point(threshold) for threshold in thresholds]
        best = max(points, key=lambda point: minus_random(chosen_on, point).value)
        chosen = {"cheapest": None if cheapest is None else cheapest.threshold, "best": best.threshold}
        return {name: None if value is None else reported(reported_on, value) for name, value in chosen.items()}

    how = {"chosen_on": first.run_id, "thresholds": thresholds, "max_ap_loss": SMALL_LOSS}
    return derive("held-out", how, second, compute, asked_by=(loaded.id, line.row.label), store=store).metrics


def reported(gate: Gate, threshold: float) -> dict[str, float | None]:
    """Return what a threshold gives, in percent."""
    point = gate.point(threshold)
    everybody, at_random = point.minus_all, minus_random(gate, point)
    facts = {**value_and_ends("minus_all", everybody), **value_and_ends("minus_random", at_random)}
    return {"threshold": threshold, "exited": 100 * point.exited, **facts}


def row_text(label: str, facts: dict[str, Any]) -> str:
    """Return one row's two choices in words."""
    said = []
    if facts["cheapest"] is not None:
        one = facts["cheapest"]
        gain = signed("minus_all", "+.2f").format_map(one)
        said.append(f"the cheapest within {SMALL_LOSS} AP lets {one['exited']:.1f} % exit early for {gain} AP")
    one = facts["best"]
    gain = signed("minus_random", "+.2f").format_map(one)
    said.append(f"the one most above random exits lets {one['exited']:.1f} % exit early, {gain} AP above them")
    return f"{label}: {', '.join(said)}"
