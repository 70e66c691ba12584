"""What reproducing every table of the paper tier would take, by calculation: the sums of `sharpose run --plan`.

    python -m experiments.run.scale

prints the table of docs/scale.md. A training that several tables ask for stands with the first of them, the paper's
tables coming before our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.run.plan import Need, need, rows_by_weights
from experiments.run.work import OPERATIONS, PEAK, gpu_hours
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from results.store import Store

TIER = "paper"


@dataclass(frozen=True)
class Work:
    """A table's trainings, and the multiply-adds of them and of judging all its rows once."""

    table: str
    trainings: int
    macs: float


def works(specs: Sequence[LoadedSpec]) -> list[Work]:
    """The work of every table that needs trained weights; a training is counted for the first that asks for it."""
    catalog, store, done = open_catalog(TIER), Store(), set[str]()
    found: list[Work] = []
    for loaded in sorted(specs, key=lambda one: not one.id.startswith("table")):
        needs = [need(name, rows, catalog, store) for name, rows in rows_by_weights([loaded], catalog).items()]
        new = [one for one in needs if one.recipe is not None and one.weights not in done]
        done |= {one.weights for one in new}
        if needs:
            found.append(Work(loaded.id, len(new), sum(map(training, new)) + sum(map(evaluation, needs))))
    return found


def training(one: Need) -> float:
    """Return the multiply-adds of a training, 0 where none is needed."""
    return one.training_macs or 0.0


def evaluation(one: Need) -> float:
    """Return the multiply-adds of an evaluation, 0 where none is needed."""
    return one.evaluation_macs or 0.0


def markdown() -> str:
    """GPU hours per table, and in all."""
    each = works(load_specs(tier=TIER))
    whole = Work("all", sum(one.trainings for one in each), sum(one.macs for one in each))
    lines = [
        f"| table | new trainings | operations (1e18) | {' | '.join(f'{name} hours' for name in PEAK)} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in [*each, whole]:
        hours = " | ".join(f"{value:,.0f}" for value in gpu_hours(one.macs).values())
        lines.append(f"| {one.table} | {one.trainings} | {OPERATIONS * one.macs / 1e18:,.0f} | {hours} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
