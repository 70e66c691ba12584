"""What reproducing every table of the paper tier would take, by calculation: the sums of `sharpose run --plan`.

    python -m experiments.run.scale

prints the table of docs/scale.md. A training that several tables ask for stands with the first of them, the paper's
tables coming before our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.run.plan import need, plan, rows_by_weights, sums
from experiments.run.work import OPERATIONS, PEAK, gpu_hours
from experiments.spec.catalog import open_catalog
from experiments.spec.reading import load_specs
from experiments.spec.spec import LoadedSpec
from results.logs import markdown
from results.store import Store

TIER = "paper"


@dataclass(frozen=True)
class Work:
    """A table's trainings, and the multiply-adds of them and of judging all its rows once."""

    table: str
    trainings: int
    macs: float


def works(specs: Sequence[LoadedSpec]) -> list[Work]:
    """Return the work of every table that needs trained weights; each training counts for the first to ask."""
    catalog, store, done = open_catalog(TIER), Store(), set[str]()
    found: list[Work] = []
    for loaded in sorted(specs, key=lambda one: not one.id.startswith("table")):
        needs = [need(name, rows, catalog, store) for name, rows in rows_by_weights([loaded], catalog).items()]
        new = [one for one in needs if one.recipe is not None and one.weights not in done]
        done |= {one.weights for one in new}
        if needs:
            found.append(Work(loaded.id, len(new), sums(new).training_macs + sums(needs).evaluation_macs))
    return found


def table() -> str:
    """Return GPU hours per table, and in all."""
    each, total = works(load_specs(tier=TIER)), sums(plan(tier=TIER))
    whole = Work("all", total.trainings, total.macs)
    rows = (
        [
            one.table,
            one.trainings,
            *(f"{value:,.0f}" for value in (OPERATIONS * one.macs / 1e18, *gpu_hours(one.macs).values())),
        ]
        for one in [*each, whole]
    )
    return markdown(["table", "new trainings", "operations (1e18)", *(f"{name} hours" for name in PEAK)], rows)


if __name__ == "__main__":
    print(table())
