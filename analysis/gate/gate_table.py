"""The tables of kind `gate`: a line per model and quality threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.gate.gate import Calibration, Cost, Gate, calibration, curve
from analysis.gate.predictions import read_predictions
from analysis.tables.derived import columns_of, derive, frame_of
from analysis.tables.footers import cost_text, missing_text, models_text, origin, people_text
from analysis.tables.lines import Line, records_of
from analysis.tables.statistics import LEAST_MARGINS
from experiments.spec.spec import LoadedSpec
from results.records import Record
from results.store import Store

# enough for the intervals of a curve; `sharpose choose-threshold` draws more
CURVE_RESAMPLES = 200
CALIBRATION = ("rank", "rank_gain", "explained", "error")
"""Fields of a calibration that are numbers."""
HARDLY = 0.1
"""Percent that AP50 or AP75 may fall and still be said to hardly move: the last digit that tables print."""
SMALL_LOSS = 0.3
"""AP, in percent, that early exits may cost where tables say how many people could exit early."""

KNOWN_BY = {"quality": "predicted quality", "true_quality": "true coarse OKS", "gain": "true gain"}
"""Who exits first, by the keys of `Gate.exits_worth`."""


@dataclass(frozen=True)
class GateCurve:
    """What a table and its figure show of one row; `runs`: ids of the records behind it, by measure.

    `exits`: the percentage of people who may exit early for `SMALL_LOSS`, as `Gate.exits_worth` has it.
    """

    label: str
    frame: pd.DataFrame
    calibration: Calibration
    exits: Mapping[str, float]
    runs: Mapping[str, str] = field(default_factory=dict)


def gate_curves(loaded: LoadedSpec, lines: list[Line], store: Store) -> list[GateCurve]:
    """Return every row that has both its predictions and its cost."""
    curves = []
    for line in lines:
        runs = {measure: line.records[measure].run_id for measure in ("predictions", "cost") if measure in line.records}
        if len(runs) == 2:
            numbers = curve_record(loaded, line, store).metrics
            known = {name: numbers[name] for name in CALIBRATION}
            facts = Calibration(**known, bins=frame_of(numbers["bins"]))
            curves.append(GateCurve(line.row.label, frame_of(numbers["curve"]), facts, numbers["exits"], runs))
    return curves


def curve_record(loaded: LoadedSpec, line: Line, store: Store) -> Record:
    """Return the curve of a row, computed where it is not stored: 20 evaluations with bootstrap take seconds."""
    source, cost = line.records["predictions"], cost_of(line)

    def compute() -> dict[str, Any]:
        predictions = read_predictions(source)
        facts, gate = calibration(predictions), Gate(predictions, CURVE_RESAMPLES)
        return {
            "curve": columns_of(curve(gate, loaded.spec.thresholds, cost)),
            "exits": gate.exits_worth(SMALL_LOSS / 100),
            **{name: getattr(facts, name) for name in CALIBRATION},
            "bins": columns_of(facts.bins),
        }

    how = {
        "thresholds": loaded.spec.thresholds,
        "resamples": CURVE_RESAMPLES,
        "macs": [cost.coarse, cost.fine],
        "controls": ["expected", "gain", "coarse OKS"],
        "exits_for": SMALL_LOSS,
    }
    return derive("curve", how, source, compute, asked_by=(loaded.id, line.row.label), store=store)


def cost_of(line: Line) -> Cost:
    """Return multiply-adds of the row's stages, by fvcore, of the paper's model."""
    metrics = line.records["cost"].metrics
    return Cost(metrics["macs_fvcore_coarse"], metrics["macs_fvcore_fine"])


def gate_frame(curves: list[GateCurve]) -> pd.DataFrame:
    """Return raw numbers of every row, for CSV."""
    named = [
        one.frame.assign(
            label=one.label,
            rank_correlation=one.calibration.rank,
            explained=one.calibration.explained,
            **{f"{measure}_run_id": run for measure, run in one.runs.items()},
        )
        for one in curves
    ]
    frame = pd.concat(named, ignore_index=True) if named else pd.DataFrame(columns=["label"])
    return frame[["label", *frame.columns.drop("label")]]


def gate_columns(tier: str) -> dict[str, tuple[str, str]]:
    """Return the raw number behind every printed column, and how it is written."""
    return {
        "Q_thres": ("threshold", "{threshold:.3f}"),
        "exit early": ("exited_percent", "{exited_percent:.1f} %"),
        f"AP ({tier} tier)": ("ap", "{ap:.1f} [{ap_low:.1f}, {ap_high:.1f}]"),
        "AP50": ("ap50", "{ap50:.1f}"),
        "AP75": ("ap75", "{ap75:.1f}"),
        "AP − all refined": ("ap_minus_all", signed("ap_minus_all")),
        "AP − random exits": ("ap_minus_random", signed("ap_minus_random")),
        "AP, exits by true coarse OKS": ("ap_by_true_quality", "{ap_by_true_quality:.1f}"),
        "AP, exits by true gain": ("ap_by_gain", "{ap_by_gain:.1f}"),
        "GFLOPs (expected)": ("gflops", "{gflops:.2f}"),
    }


def signed(key: str, form: str = "+.1f") -> str:
    """Return how a difference of a row is written with its interval."""
    return f"{{{key}:{form}}} [{{{key}_low:{form}}}, {{{key}_high:{form}}}]"


def gate_shown(loaded: LoadedSpec, curves: list[GateCurve], tier: str) -> pd.DataFrame:
    """Return it as it is printed; the first and last threshold of a row refine nobody and everybody."""
    header, columns = loaded.spec.row_header, gate_columns(tier)
    rows = [
        {header: one.label, **{title: form.format_map(row) for title, (_, form) in columns.items()}}
        for one in curves
        for row in one.frame.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=None if rows else [header, "Q_thres", f"AP ({tier} tier)"])


def gate_sources(tier: str) -> dict[str, tuple[str, str]]:
    """Return the column of the frame and the measure behind every printed one."""
    keys = {header: key for header, (key, _) in gate_columns(tier).items()}
    return {header: (key, "cost" if key == "gflops" else "predictions") for header, key in keys.items()}


def largest_exit_rate(frame: pd.DataFrame, key: str, loss: float) -> float:
    """Return the largest percentage of people who may exit early for a small loss.

    `key` may fall at most `loss` below its value with everybody refined; interpolated linearly between thresholds.
    """
    shares, values = frame["exited_percent"].to_numpy()[::-1], frame[key].to_numpy()[::-1]
    lost = values[0] - values
    beyond = np.flatnonzero(lost > loss)
    if not len(beyond):
        return float(shares[-1])
    last = beyond[0]
    return float(np.interp(loss, lost[last - 1 : last + 1], shares[last - 1 : last + 1]))


def hardly_moving(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the percentage of early exits up to which AP50 and AP75 hardly move, and the AP lost there."""
    far = min(largest_exit_rate(frame, key, HARDLY) for key in ("ap50", "ap75"))
    shares, fallen = (frame[key].to_numpy()[::-1] for key in ("exited_percent", "ap_minus_all"))
    return far, -float(np.interp(far, shares, fallen))


def exits_text(one: GateCurve) -> str:
    """Return how many may exit early for `SMALL_LOSS`, by their predicted quality and by what no gate knows.

    Nothing is said where so small a loss is large beside the AP itself.
    """
    whole = float(one.frame["ap"].iloc[-1])
    if whole < LEAST_MARGINS * SMALL_LOSS:
        return f"at AP {whole:.1f} no share of early exits for {SMALL_LOSS} AP is given"
    shares = (f"{one.exits[key]:.0f} % by {name}" for key, name in KNOWN_BY.items())
    return f"early exits for {SMALL_LOSS} AP: {', '.join(shares)}"


def statement(one: GateCurve) -> str:
    """Return what the paper says of Figure 6, and if it holds: fewer refined, AP falls, AP50 and AP75 hardly move."""
    far, lost = hardly_moving(one.frame)
    return (
        f'"Fewer refined, AP falls, AP50 and AP75 hardly move" holds until {far:.0f} % exit early, where AP has lost '
        f"{lost:.1f} and AP50 or AP75 {HARDLY:g}."
    )


def gate_footer(loaded: LoadedSpec, lines: list[Line], curves: list[GateCurve]) -> list[str]:
    """Return how the numbers were made, and what they say about the gate."""
    records = records_of(lines, "predictions")
    said = []
    if records:
        first = records[0]
        said.append(
            f"AP: {first.tier} tier, {models_text(records)} on {first.provenance.get('dataset')} "
            f"({people_text(first.metrics)}), ground-truth boxes, without flip test; both stages of everybody were "
            "predicted once, and every threshold chooses between them; [95 % bootstrap interval, "
            f"{CURVE_RESAMPLES} resamples of images], differences paired; {origin(records)}."
        )
        said.append(
            "GFLOPs (expected) = coarse + refine rate × fine, of the paper's model. Random exits: the AP to be "
            "expected where as many people, drawn at random, exit early (the mean of 200 choices), which a gate has to "
            "beat. Exits by true coarse OKS: of those whose coarse result is truly best, which the quality predictor "
            "is asked for; by true gain: of those whose OKS the fine stage raises least. No gate can know either."
        )
    for one in curves:
        facts = one.calibration
        # where nobody or everybody is refined there is no choice, and the difference is what rounding leaves of zero
        better = one.frame.query("ap_minus_random_low > 1e-6")
        beats = ", ".join(f"{threshold:g}" for threshold in better["threshold"].round(3)) or "none"
        said.append(
            f"{one.label}: predicted quality against true OKS of the coarse stage: Spearman's rank correlation "
            f"{facts.rank:.2f}, R² {facts.explained:.2f}, mean distance from the diagonal {facts.error:.3f}; quality "
            f"against the OKS that the fine stage gains: {facts.rank_gain:+.2f}. "
            f"Better than random exits beyond the interval at: {beats}; {exits_text(one)}. {statement(one)}"
        )
    return [*said, *cost_text(lines), *missing_text(lines), *loaded.spec.notes]
