"""The α and the quality threshold with the best stored AP within a latency, for stages as fast as they are here."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.gate.choose import find_line, stored_sweep
from analysis.gate.gate import RESAMPLES, Candidate, Cost, Gate, pareto, pick
from analysis.gate.predictions import read_predictions
from experiments.spec.reading import load_one_spec
from experiments.spec.yamlfile import SpecError
from results.records import Record
from results.store import Store


@dataclass(frozen=True)
class OperatingPoint:
    """AP as fractions; milliseconds per person: expected, and of somebody who is refined."""

    alpha: float
    quality_threshold: float
    refine_rate: float
    ap: float
    ap_low: float
    ap_high: float
    latency_ms: float
    latency_ms_refined: float
    dataset: str


def frontier_rows(spec: str = "frontier", tier: str | None = None) -> tuple[str, dict[float, str]]:
    """Return a frontier's model and its rows by their α. Raises SpecError where rows differ in something else."""
    loaded = load_one_spec(spec, tier)
    settings = {row.label: loaded.settings(row) for row in loaded.spec.rows}
    models = {one.model for one in settings.values()}
    rows = {float(one.options["alpha"]): label for label, one in settings.items() if "alpha" in one.options}
    if loaded.spec.kind != "gate" or len(models) > 1 or len(rows) < len(settings):
        raise SpecError(
            f"{spec}: not a spec of kind gate whose rows are one model's at several α; name one as frontier"
        )
    return models.pop(), rows


def swept(spec: str, tier: str, store: Store) -> dict[float, tuple[Record, list[Candidate]]]:
    """Return predictions of every row by its α, and what every threshold gives. Raises SpecError where any lack."""
    found = {}
    for alpha, label in frontier_rows(spec, tier)[1].items():
        record = find_line(spec, label, tier, store).records["predictions"]
        found[alpha] = record, stored_sweep(record, read_predictions(record), (spec, label), store)
    return found


def over_latency(
    times: dict[float, Cost], *, spec: str = "frontier", tier: str = "nano", store: Store | None = None
) -> pd.DataFrame:
    """Return a row for every α and threshold: `alpha`, `quality_threshold`, `refine_rate`, `ap`, `latency_ms`.

    AP is a fraction. times: as of `choose_operating_point`. Raises SpecError where predictions are missing.
    """
    return pd.DataFrame(
        {
            "alpha": alpha,
            "quality_threshold": one.threshold,
            "refine_rate": one.refine_rate,
            "ap": one.ap,
            "latency_ms": times[alpha].expected(one.refine_rate),
        }
        for alpha, (_, candidates) in swept(spec, tier, store or Store()).items()
        for one in candidates
    )


def latency_frontier(times: dict[float, Cost], *, spec: str = "frontier", tier: str = "nano") -> list[dict[str, float]]:
    """Return the rows of `over_latency` that no other beats in both expected latency and AP, from fast to slow."""
    best = pareto(over_latency(times, spec=spec, tier=tier), "latency_ms").to_dict("records")
    return [{str(name): float(value) for name, value in point.items()} for point in best]


def choose_operating_point(
    latency_ms: float,
    times: dict[float, Cost],
    *,
    spec: str = "frontier",
    tier: str = "nano",
    resamples: int = RESAMPLES,
) -> OperatingPoint:
    """Return the best AP of all rows and thresholds within an expected `latency_ms`; of equal ones the fastest.

    times: by α, milliseconds per person of the coarse stage and of the fine one. Raises SpecError where predictions
    are missing, or nothing is fast enough.
    """
    rows, found = swept(spec, tier, Store()), list[tuple[float, Candidate]]()
    for alpha, (_, candidates) in rows.items():
        picked = pick(candidates, times[alpha], budget=latency_ms)
        found += [] if picked is None else [(alpha, picked)]
    if not found:
        fastest = min(time.coarse for time in times.values())
        raise SpecError(f"nothing is that fast: the coarse stage alone takes {fastest:.3g} ms here; raise --latency-ms")
    alpha, best = max(found, key=lambda one: (one[1].ap, -times[one[0]].expected(one[1].refine_rate)))
    record = rows[alpha][0]
    again = Gate(read_predictions(record), resamples).point(best.threshold)
    return OperatingPoint(
        alpha=alpha,
        quality_threshold=again.threshold,
        refine_rate=again.refine_rate,
        ap=again.interval.value,
        ap_low=again.interval.low,
        ap_high=again.interval.high,
        latency_ms=times[alpha].expected(again.refine_rate),
        latency_ms_refined=times[alpha].expected(1.0),
        dataset=str(record.provenance.get("dataset")),
    )
