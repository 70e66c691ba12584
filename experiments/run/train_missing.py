"""Train what the tables lack: the systems of a tier's shared budget that have no weights, the most valuable first.

Any spare time fills the tables: every system has a run folder, from which the next call goes on.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.cells.provenance import REPOSITORY
from experiments.spec.catalog import Blocked, Catalog, brief, open_catalog
from experiments.spec.tiers import RateTrials, SharedBudget
from sharpose.runtime.errors import InputError, Interrupted, OutOfTime, RunFailed, nearest
from sharpose.runtime.files import write_atomically, write_json

if TYPE_CHECKING:
    from sharpose.training.request import TrainingRequest

State = Literal["there", "trained", "stopped", "failed", "waiting"]
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Outcome:
    """Where a system stands after a call.

    Its weights were `there` before or are `trained` now, or the training was `stopped` by the budget, `failed`, or is
    `waiting` for its turn; `note` says what is behind the last three.
    """

    name: str
    state: State
    note: str = ""

    @property
    def line(self) -> str:
        """Return the outcome as a line of a list, its columns aligned."""
        return f"{self.name:32} {self.state:8} {self.note}".rstrip()


@dataclass(frozen=True)
class Training:
    """How `train_missing` trains.

    Run folders lie in `out` (None: runs/TIER); `device`, `workers` and `preload` are options of
    `sharpose train`; `start` names weights in place of those that the budget starts from.
    """

    out: Path | None = None
    device: str | None = None
    workers: int = 0
    preload: bool = False
    start: Path | None = None


def parse_duration(text: str) -> float:
    """Return seconds of `90s`, `60m` or `1.5h`. Raises InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"--budget {text!r} does not work: it must be a time such as 90s, 60m or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def train_missing(
    tier: str, budget_s: float, only: Sequence[str] = (), how: Training | None = None, catalog: Catalog | None = None
) -> list[Outcome]:
    """Train the tier's systems that have no weights, one after the other, until the budget is spent.

    A system that fails does not stop the others. Raises InputError for unknown names before anything is trained, and
    Interrupted after SIGTERM.
    """
    deadline, how, catalog = time.monotonic() + budget_s, how or Training(), catalog or open_catalog(tier)
    out = how.out or REPOSITORY / "runs" / catalog.name
    race = Race(catalog, shared_budget(catalog, only), how, out, deadline)
    return [race.outcome(name) for name in race.shared.trainings if not only or name in only]


def shared_budget(catalog: Catalog, only: Sequence[str] = ()) -> SharedBudget:
    """Return what the tier shares. Raises InputError where it shares nothing, and for a name that it does not have."""
    shared = catalog.tier.shared
    if shared is None:
        raise InputError(f"tier {catalog.name} has no shared budget (add `shared` to {catalog.places.tiers.name})")
    for name in only:
        if name not in shared.trainings:
            raise InputError(f"--only {name!r}: the shared budget has no such system{nearest(name, shared.trainings)}")
    return shared


@dataclass(frozen=True)
class Race:
    """The trainings of a tier's shared budget, each in a folder inside `out`, until the deadline (time.monotonic())."""

    catalog: Catalog
    shared: SharedBudget
    how: Training
    out: Path
    deadline: float

    def outcome(self, name: str) -> Outcome:
        """Train one system where it has no weights and there is time; what goes wrong with it is its outcome."""
        system, first = self.shared.trainings[name], self.shared.first_of(name)
        path = self.catalog.weights_path(name)
        if path.exists():
            # intact, or an error that says what to do
            self.catalog.weights(name)
            return Outcome(name, "there")
        if time.monotonic() >= self.deadline:
            return Outcome(name, "waiting", "its turn comes when there is time")
        if system.teacher is not None and not self.catalog.weights_path(system.teacher).exists():
            return Outcome(name, "waiting", f"it learns from {system.teacher}, which has no weights yet")
        if self.shared.learning_rates is not None and not (first == name or self.catalog.weights_path(first).exists()):
            return Outcome(name, "waiting", f"it takes the learning rate of {first}, which has no weights yet")
        try:
            facts = self.train_at_best_rate(name)
        except OutOfTime as stop:
            return Outcome(name, "stopped", str(stop).split(";")[0])
        except Interrupted:
            raise
        # a start that is not here, too, and a folder that another process trains in
        except (RunFailed, Blocked, InputError) as failure:
            return Outcome(name, "failed", str(failure))
        publish(Path(facts["weights"]), path, {key: facts[key] for key in ("learning_rates",) if key in facts})
        return Outcome(name, "trained", f"{brief(path)} after {facts['steps']} steps, {facts['wall_s'] / 60:.1f} min")

    def train_at_best_rate(self, name: str) -> dict[str, Any]:
        """Train one system in its run folder, or go on where it stopped; the facts of its manifest.

        Where the budget has a list of learning rates, with the best of them, and what was tried.
        """
        from sharpose.training.session import train_and_export

        if self.shared.learning_rates is None:
            return train_and_export(self.asked(name, {}))
        rates = self.chosen_rate(name, self.shared.learning_rates)
        return {**train_and_export(self.asked(name, {"learning_rate": rates["chosen"]})), "learning_rates": rates}

    def asked(
        self, name: str, changes: Mapping[str, Any], folder: str = "", trials: RateTrials | None = None
    ) -> TrainingRequest:
        """Return how one system is trained, with changes to its recipe; with `trials`, in small, in its own folder."""
        from sharpose.evaluation.validation import validate_on
        from sharpose.training.request import TrainingRequest

        shared, how, system = self.shared, self.how, self.shared.trainings[name]
        taught = {} if system.teacher is None else {"teacher": self.catalog.weights(system.teacher)}
        start = how.start or self.catalog.start() if system.start else None
        return TrainingRequest(
            model=system.model or name,
            recipe=shared.recipe,
            changes={**system.recipe, **changes, **taught},
            data=[system.data or shared.data],
            out=self.out / name / folder,
            seed=system.seed,
            init=start,
            workers=how.workers,
            precision=shared.precision,
            preload=how.preload or shared.preload,
            validate=validate_on(shared.validate_on if trials is None else [trials.judged_on]),
            points=shared.points if trials is None else 1,
            crops=None if trials is None else trials.crops,
            device=how.device,
            deadline=self.deadline,
        )

    def chosen_rate(self, name: str, trials: RateTrials) -> dict[str, Any]:
        """Return the system's best learning rate of the list, and how each did. Raises RunFailed where all failed.

        A training with another seed takes the rate of the first.
        """
        first = self.shared.first_of(name)
        if first != name:
            made = json.loads(self.catalog.weights(first).with_suffix(".json").read_text(encoding="utf-8"))
            rates = made.get("learning_rates", {"chosen": made["recipe"]["learning_rate"]})
            return {**rates, "chosen_for": first}
        tried = [{"rate": rate, **self.tried_rate(name, rate, trials)} for rate in trials.values]
        judged = [one for one in tried if one.get(trials.score) is not None]
        if not judged:
            failed = tried[0].get("failed")
            raise RunFailed(f"{name}: no learning rate of {trials.values} gave a {trials.score}: {failed}")
        best = max(judged, key=lambda one: one[trials.score])
        how_chosen = {"judged_on": trials.judged_on, "score": trials.score, "crops_each": trials.crops}
        return {"chosen": best["rate"], **how_chosen, "tried": tried}

    def tried_rate(self, name: str, rate: float, trials: RateTrials) -> dict[str, Any]:
        """Return AP and PCK after the training in small, which is kept from call to call; or why it failed.

        Raises InputError where the one kept is another than would be made now.
        """
        from sharpose.training.session import difference, train_and_export

        asked = self.asked(name, {"learning_rate": rate}, f"tried-{rate:g}-{trials.crops}", trials)
        done = asked.out / f"{asked.model}.json"
        try:
            facts = json.loads(done.read_text(encoding="utf-8")) if done.exists() else train_and_export(asked)
        except RunFailed as failure:
            return {"failed": str(failure).split(";")[0]}
        if differs := difference(facts, asked):
            raise InputError(f"{done}: {differs}; remove {self.out / name}, or train into another folder (--out)")
        last = facts["curve"][-1]
        return {"crops": last["crops"], **{score: last[f"{trials.judged_on}_{score}"] for score in ("ap", "pck")}}


def publish(made: Path, path: Path, more: Mapping[str, Any]) -> None:
    """Copy weights and manifest, with `more` facts; the weights come last: their presence says that both are there."""
    write_json(path.with_suffix(".json"), {**json.loads(made.with_suffix(".json").read_text(encoding="utf-8")), **more})
    write_atomically(path, lambda temporary: temporary.write_bytes(made.read_bytes()))
