"""What stands behind trained weights: crops seen in all, what they started from, and whether they still learnt.

Rules of a fair comparison: equal chances, equal starts, long enough, and ± over own initialisations alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from analysis.tables.lines import Line, grouped
from analysis.tables.manifests import RANDOM, Training, read_training
from experiments.cells.cells import Cell
from experiments.spec.catalog import Catalog
from experiments.spec.spec import LoadedSpec

CONVERGED = 1.0
"""A table is called converged where the last doubling of crops gained less than so many AP."""


def training_of(line: Line) -> Training | None:
    """The training behind a row's accuracy; None for a control, and where nothing is trained."""
    cell = line.cells.get("accuracy") or line.cells.get("predictions")
    return None if cell is None or cell.weights is None else read_training(cell.weights)


def noted_training(line: Line) -> Training | None:
    """The same; None also where its manifest says too little of its start."""
    made = training_of(line)
    return made if made is not None and made.noted else None


def compared_first(lines: list[Line], base_weights: str, wanted: str | None = None) -> tuple[list[Line], int]:
    """Return the rows that are compared, then those below the line, and how many these are.

    Where a tier's trainings all start from `wanted`, below stand those that started from something else. Elsewhere rows
    from random weights where others began with trained ones, and weights that are shown for what they are (`start`,
    `best`) in a table of others.
    """
    starts = {line.row.label: noted_training(line) for line in lines}
    some_started = any(start is not None and start.file is not None for start in starts.values())

    def apart(line: Line) -> bool:
        if wanted is not None:
            made = training_of(line)
            return made is not None and made.start != wanted
        start, weights = starts[line.row.label], line.row.set.get("weights", base_weights)
        random = some_started and start is not None and start.file is None
        return random or (weights != base_weights and weights in ("start", "best"))

    below = [line for line in lines if apart(line)]
    return [line for line in lines if not apart(line)] + below, len(below)


def curve_key(dataset: str, catalog: Catalog) -> str:
    """What curves call the people that stand for a spec's `dataset` at a tier; empty where none do."""
    people = catalog.people(dataset)
    return catalog.dataset(people).photos or people if people else ""


def title(loaded: LoadedSpec, lines: list[Line], catalog: Catalog) -> str:
    """The spec's title; at a tier with people of its own, with these, and how far trainings have come."""
    scored = any({"accuracy", "predictions"} & set(line.cells) for line in lines)
    data = curve_key(loaded.spec.base.get("dataset", ""), catalog)
    if catalog.tier.title is None or not scored or not data:
        return loaded.spec.title
    words = loaded.spec.title.replace("COCO val", catalog.tier.title)
    return f"{words} ({catalog.name} tier: {convergence(lines, data)})"


def convergence(lines: Iterable[Line], data: str) -> str:
    """Whether a table's trainings had come to an end."""
    made = [one for one in map(training_of, lines) if one is not None]
    gains = [gain for one in made if (gain := one.last_doubling(data)) is not None]
    if not made:
        return "nothing trained yet"
    if gains and max(gains) >= CONVERGED:
        return f"not converged, the last doubling of crops gained up to {max(gains):.1f} AP"
    if len(gains) < len(made):
        return "not known whether converged"
    return f"converged, the last doubling of crops gained less than {CONVERGED:g} AP"


def race_text(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, below: int) -> list[str]:
    """What every row has had: crops, start, learning rate, and what the last doubling gained."""
    rows = [(line.row.label, made) for line in lines if (made := training_of(line)) is not None]
    data = curve_key(loaded.spec.base.get("dataset", ""), catalog)
    notes = catalog.tier.notes if data else []
    if not rows:
        return list(notes)
    compared = rows[: len(rows) - below]
    same = len({made.crops for _, made in compared}) <= 1
    said = [
        told("Crops of people seen in all, starts included", rows, lambda made: f"{made.crops:,}", same=same),
        told("Started from", rows, lambda made: made.started_from),
        told("Learning rate", rows, rate_text),
        told("Trained in", rows, lambda made: made.precision),
        told("The last doubling of crops gained", rows, lambda made: gain_text(made.last_doubling(data))),
    ]
    taught = [f"{label} from {made.teacher}" for label, made in rows if made.teacher]
    said += [f"Taught while it learnt: {', '.join(taught)}."] if taught else []
    if below:
        others = ", ".join(label for label, _ in rows[len(compared) :])
        said.append(f"Below the line, not in the comparison, as they started from something else: {others}.")
    if not loaded.spec.seeds:
        said.append("Each was trained once: intervals are of the choice of people alone.")
    return [*said, *notes]


def starts_text(lines: list[Line], below: int) -> list[str]:
    """What every trained row has had: crops in all, and what it took from its start. Whether chances were equal."""
    known = {line.row.label: start for line in lines if (start := noted_training(line)) is not None}
    if not known:
        return []
    compared = [line.row.label for line in lines[: len(lines) - below] if line.row.label in known]
    said = []
    for fact, labels in grouped((label, f"{one.seen}, {one.taken}") for label, one in known.items()).items():
        who = "every compared row" if len(labels) > 1 and labels == compared else ", ".join(labels)
        said.append(f"{who}: {fact}")
    text = [f"Crops of people seen in all, starts included, and what each began with: {'; '.join(said)}."]
    if len({known[label].taken for label in compared}) > 1:
        text.append(
            "NOT an equal chance: these rows began with different parts of one trained pose network, a SHaRPose with "
            "its head, keypoint tokens and reuse MLP, so their differences are also of what could be taken from it."
        )
    if below:
        apart = ", ".join(line.row.label for line in lines[len(lines) - below :])
        text.append(f"Below the line, not in the comparison, as their weights came about otherwise: {apart}.")
    return text


def told(what: str, rows: Sequence[tuple[str, Training]], say: Callable[[Training], str], *, same: bool = True) -> str:
    """Return a fact of all rows as text: once where they share it, else with the labels of those that do."""
    groups = grouped((label, say(made)) for label, made in rows)
    if len(groups) == 1:
        return f"{what}: {next(iter(groups))}, each row."
    facts = "; ".join(f"{fact}: {', '.join(labels)}" for fact, labels in groups.items())
    return f"{what}: {facts}{'' if same else ', NOT the same for all that are compared'}."


def rate_text(made: Training) -> str:
    """A learning rate, and out of which it was chosen."""
    if made.rates is None or "tried" not in made.rates:
        return f"{made.learning_rate:g}, not chosen from a list" if made.learning_rate else "not known"
    tried = ", ".join(f"{one['rate']:g}" for one in made.rates["tried"])
    score = str(made.rates["score"]).upper()
    how = f"by {score} on {made.rates['judged_on']} after {made.rates['crops_each']:,} crops each"
    return f"{made.rates['chosen']:g} (of {tried}, {how})"


def gain_text(gain: float | None) -> str:
    """Return what the last doubling of the crops gained, in AP in percent."""
    return "not known, no curve" if gain is None else f"{gain:+.1f} AP"


def seed_scores(line: Line, *, own_starts: bool = False) -> list[float]:
    """Return the AP in percent of every stored training of a row with the shared budget, whatever its own weights.

    own_starts: only of those from random weights of their own.
    """
    counted = [seed for seed in line.seeds if not own_starts or begun_at_random(seed.cell)]
    scores = [seed.record.metrics.get("ap") for seed in counted if seed.record is not None]
    return [100 * score for score in scores if score is not None]


def begun_at_random(cell: Cell) -> bool:
    """Whether the weights of a cell are there and began with random ones."""
    return cell.weights is not None and read_training(cell.weights).start == RANDOM


def training_numbers(line: Line, data: str) -> dict[str, Any]:
    """What `race_text` says of a row, for files."""
    made = training_of(line)
    return {
        "crops": made and made.crops,
        "start": made and made.start,
        "learning_rate": made and made.learning_rate,
        "last_doubling_ap": made and made.last_doubling(data),
    }
