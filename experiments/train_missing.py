"""Train what the tables lack: the systems of a tier's shared budget that have no weights, the most valuable first.

Any spare time fills the tables: every system has a run folder, from which the next call goes on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.catalog import Catalog, brief, open_catalog
from experiments.provenance import REPOSITORY
from experiments.tiers import SharedBudget, SharedSystem
from experiments.yamlfile import nearest
from sharpose.errors import InputError, Interrupted, OutOfTime, RunFailed
from sharpose.files import write_atomically, write_json

State = Literal["there", "trained", "stopped", "failed", "waiting"]
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Outcome:
    """Where a system stands after a call: weights `there` before or `trained` now, `stopped` by the budget, `failed`,
    or `waiting` for its turn; `note` says what is behind the last three."""

    name: str
    state: State
    note: str = ""

    @property
    def line(self) -> str:
        return f"{self.name:32} {self.state:8} {self.note}".rstrip()


@dataclass(frozen=True)
class Training:
    """How `train_missing` trains: run folders in `out`, and what `sharpose train` has the same options for."""

    out: Path = REPOSITORY / "runs" / "shared"
    device: str | None = None
    workers: int = 0
    preload: bool = False


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `60m` or `1.5h`. Raises InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--budget {text!r} does not work: it must be a time such as 90s, 60m or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def train_missing(
    tier: str, budget_s: float, only: Sequence[str] = (), how: Training | None = None, catalog: Catalog | None = None
) -> list[Outcome]:
    """Train the tier's systems that have no shared weights, one after the other, until the budget is spent.

    A system that fails does not stop the others. Raises InputError for unknown names before anything is trained, and
    Interrupted after SIGTERM.
    """
    deadline, how = time.monotonic() + budget_s, how or Training()
    catalog = catalog or open_catalog(tier)
    shared = shared_budget(catalog, only)
    outcomes = []
    for name in shared.trainings:
        if only and name not in only:
            continue
        if catalog.weights_path(name, "shared").exists():
            # intact, or an error that says what to do
            catalog.weights(name, "shared")
            outcomes.append(Outcome(name, "there"))
        elif time.monotonic() >= deadline:
            outcomes.append(Outcome(name, "waiting", "its turn comes when there is time"))
        else:
            outcomes.append(attempt(name, shared, catalog, how, deadline))
    return outcomes


def shared_budget(catalog: Catalog, only: Sequence[str] = ()) -> SharedBudget:
    """What the tier shares. Raises InputError where it shares nothing, and for a name that it does not have."""
    shared = catalog.tier.shared
    if shared is None:
        raise InputError(f"tier {catalog.name} has no shared budget (add `shared` to {catalog.places.tiers.name})")
    for name in only:
        if name not in shared.trainings:
            raise InputError(f"--only {name!r}: the shared budget has no such system{nearest(name, shared.trainings)}")
    return shared


def attempt(name: str, shared: SharedBudget, catalog: Catalog, how: Training, deadline: float) -> Outcome:
    """Train one system; what goes wrong with it is its outcome."""
    system = shared.trainings[name]
    if system.teacher is not None and not catalog.weights_path(system.teacher, "shared").exists():
        return Outcome(name, "waiting", f"it learns from {system.teacher}, which has no shared weights yet")
    try:
        facts = train_system(name, shared, catalog, how, deadline)
    except OutOfTime as stop:
        return Outcome(name, "stopped", str(stop).split(";")[0])
    except Interrupted:
        raise
    except RunFailed as failure:
        return Outcome(name, "failed", str(failure))
    path = catalog.weights_path(name, "shared")
    publish(Path(facts["weights"]), path)
    return Outcome(name, "trained", f"{brief(path)} after {facts['steps']} steps, {facts['wall_s'] / 60:.1f} min")


def train_system(name: str, shared: SharedBudget, catalog: Catalog, how: Training, deadline: float) -> dict[str, Any]:
    """Train one system in its run folder, or go on where it stopped; the facts of its manifest."""
    from sharpose.training.session import train_and_export

    system: SharedSystem = shared.trainings[name]
    changes = dict(system.recipe)
    if system.teacher is not None:
        changes["teacher"] = catalog.weights(system.teacher, "shared")
    return train_and_export(
        model_name=system.model or name,
        recipe_name=shared.recipe,
        changes=changes,
        data=[system.data or shared.data],
        out=how.out / name,
        seed=system.seed,
        init=catalog.weights(shared.start, "shared") if system.start else None,
        workers=how.workers,
        preload=how.preload,
        device=how.device,
        deadline=deadline,
    )


def publish(made: Path, path: Path) -> None:
    """Copy weights and manifest; the weights come last, as their presence says that both are there."""
    write_json(path.with_suffix(".json"), json.loads(made.with_suffix(".json").read_text(encoding="utf-8")))
    write_atomically(path, lambda temporary: temporary.write_bytes(made.read_bytes()))
