"""What stands behind trained weights: crops seen in all, what they started from, and whether they still learnt.

Rules of a fair comparison: equal chances, equal starts, long enough, and ± over own initialisations alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Any

from analysis.tables.lines import Line, seed_scores
from analysis.tables.manifests import RANDOM, Training, read_training
from experiments.spec.catalog import Catalog
from experiments.spec.spec import LoadedSpec
from sharpose.evaluation.metrics.significance import LEAST_TRAININGS, t_interval

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


def compared_first(lines: list[Line], catalog: Catalog) -> tuple[list[Line], int]:
    """The rows that are compared, then those that started from something else, and how many these are."""
    wanted = catalog.tier.starts
    others = [line for line in lines if wanted and (made := training_of(line)) is not None and made.start != wanted]
    return [line for line in lines if line not in others] + others, len(others)


def shown_apart(lines: list[Line], base_weights: str) -> tuple[list[Line], int]:
    """Return the rows that are compared, then those below the line, and how many these are.

    Below stand rows from random weights where others began with trained ones, and weights that are shown for what they
    are (`start`, `best`) in a table of others.
    """
    starts = {line.row.label: noted_training(line) for line in lines}
    some_started = any(start is not None and start.file is not None for start in starts.values())

    def apart(line: Line) -> bool:
        start, weights = starts[line.row.label], line.row.set.get("weights", base_weights)
        random = some_started and start is not None and start.file is None
        return random or (weights != base_weights and weights in ("start", "best"))

    below = [line for line in lines if apart(line)]
    return [line for line in lines if not apart(line)] + below, len(below)


def curve_key(loaded: LoadedSpec, catalog: Catalog) -> str:
    """What curves call the people that a spec is measured on."""
    people = catalog.people(loaded.spec.base.get("dataset", ""))
    return "" if people is None else catalog.dataset(people).photos or people


def title(loaded: LoadedSpec, lines: list[Line], catalog: Catalog) -> str:
    """The spec's title; at a tier with people of its own, with these, and how far trainings have come."""
    scored = any({"accuracy", "predictions"} & set(line.cells) for line in lines)
    if catalog.tier.title is None or not scored or not curve_key(loaded, catalog):
        return loaded.spec.title
    words = loaded.spec.title.replace("COCO val", catalog.tier.title)
    return f"{words} ({catalog.name} tier: {convergence(lines, curve_key(loaded, catalog))})"


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
    notes = catalog.tier.notes if curve_key(loaded, catalog) else []
    if not rows:
        return list(notes)
    compared = rows[: len(rows) - below]
    same = len({made.crops for _, made in compared}) <= 1
    said = [
        told("Crops of people seen in all, starts included", rows, lambda made: f"{made.crops:,}", same=same),
        told("Started from", rows, lambda made: made.started_from),
        told("Learning rate", rows, rate_text),
        told("Trained in", rows, lambda made: made.precision),
        told("The last doubling of crops gained", rows, lambda made: gain_text(made, curve_key(loaded, catalog))),
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
    known = [(line.row.label, start) for line in lines if (start := noted_training(line)) is not None]
    if not known:
        return []
    above = {line.row.label for line in lines[: len(lines) - below]}
    compared = [(label, start) for label, start in known if label in above]
    facts: dict[str, list[str]] = {}
    for label, start in known:
        facts.setdefault(f"{start.seen}, {start.taken}", []).append(label)
    said = "; ".join(f"{rows_text(labels, [label for label, _ in compared])}: {fact}" for fact, labels in facts.items())
    text = [f"Crops of people seen in all, starts included, and what each began with: {said}."]
    if len({start.taken for _, start in compared}) > 1:
        text.append(
            "NOT an equal chance: these rows began with different parts of one trained pose network, a SHaRPose with "
            "its head, keypoint tokens and reuse MLP, so their differences are also of what could be taken from it."
        )
    if below:
        apart = ", ".join(line.row.label for line in lines[len(lines) - below :])
        text.append(f"Below the line, not in the comparison, as their weights came about otherwise: {apart}.")
    return text


def rows_text(labels: list[str], compared: list[str]) -> str:
    """Rows that share a fact by their labels; all that are compared in two words."""
    return "every compared row" if len(labels) > 1 and labels == compared else ", ".join(labels)


def told(what: str, rows: Sequence[tuple[str, Training]], say: Callable[[Training], str], *, same: bool = True) -> str:
    """A fact of every row: once where it is one, else with the rows that share it."""
    groups: dict[str, list[str]] = {}
    for label, made in rows:
        groups.setdefault(say(made), []).append(label)
    warning = "" if same else ", NOT the same for all that are compared"
    if len(groups) == 1:
        return f"{what}: {next(iter(groups))}, each row."
    facts = "; ".join(f"{fact}: {', '.join(labels)}" for fact, labels in groups.items())
    return f"{what}: {facts}{warning}."


def rate_text(made: Training) -> str:
    """A learning rate, and out of which it was chosen."""
    if made.rates is None or "tried" not in made.rates:
        return f"{made.learning_rate:g}, not chosen from a list" if made.learning_rate else "not known"
    tried = ", ".join(f"{one['rate']:g}" for one in made.rates["tried"])
    score = str(made.rates["score"]).upper()
    how = f"by {score} on {made.rates['judged_on']} after {made.rates['crops_each']:,} crops each"
    return f"{made.rates['chosen']:g} (of {tried}, {how})"


def gain_text(made: Training, data: str) -> str:
    """Return what the last doubling of the crops gained on a data set, in AP in percent."""
    gain = made.last_doubling(data)
    return "not known, no curve" if gain is None else f"{gain:+.1f} AP"


def seeds_interval(line: Line) -> tuple[float, float | None, int] | None:
    """Return mean and half of the t-interval over a row's trainings, in percent, and how many these are.

    They are those that had an initialisation of their own; the half is None below three, everything where fewer than
    two have a score.
    """
    own = [
        seed
        for seed in line.seeds
        if seed.cell.weights is not None and read_training(seed.cell.weights).start == RANDOM
    ]
    scores = [100 * score for score in seed_scores(Line(line.row, line.cells, line.records, tuple(own)))]
    if len(scores) < 2:
        return None
    if len(scores) < LEAST_TRAININGS:
        return mean(scores), None, len(scores)
    low, high = t_interval(scores)
    return mean(scores), (high - low) / 2, len(scores)


def training_numbers(line: Line, data: str) -> dict[str, Any]:
    """What `race_text` says of a row, for files."""
    made = training_of(line)
    return {
        "crops": made and made.crops,
        "start": made and made.start,
        "learning_rate": made and made.learning_rate,
        "last_doubling_ap": made and made.last_doubling(data),
    }
