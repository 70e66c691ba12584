"""What stands behind trained weights: crops seen in all, what they started from, and whether they still learnt.

Rules of a fair comparison: equal chances, equal starts, long enough, and ± over trainings that share no pose network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from analysis.tables.lines import Line, grouped
from analysis.tables.manifests import POSE_NETWORK, Training, read_training
from analysis.tables.statistics import spread_text, t_interval_between
from experiments.cells.cells import Cell
from experiments.spec.catalog import Catalog
from experiments.spec.spec import PEER, LoadedSpec

CONVERGED = 1.0
"""A table is called converged where the last doubling of crops gained less than so many AP."""

ORIGINALS = {"coco-val": "COCO val", "coco-test-dev": "COCO test-dev", "mpii-val": "MPII val"}
"""What titles call people in whose place a tier may have people of its own."""

LISTED = 9
"""So many rows at most are named in a footer; more are counted."""


def training_of(line: Line) -> Training | None:
    """Return the training behind a row's accuracy; None for a control, and where nothing is trained."""
    cell = line.cells.get("accuracy") or line.cells.get("predictions")
    return None if cell is None or cell.weights is None else read_training(cell.weights)


def compared_first(lines: list[Line], wanted: str | None) -> tuple[list[Line], int]:
    """Return the rows that are compared, then those below the line, and how many these are.

    Below stand those that started from something else than the tier's trainings, which start from `wanted`, and those
    whose attention was guided.
    """
    made = [(line, training_of(line)) for line in lines if wanted]
    below = [line for line, one in made if one is not None and (one.start != wanted or one.guided)]
    return [line for line in lines if line not in below] + below, len(below)


def curve_key(dataset: str, catalog: Catalog) -> str:
    """Return what curves call the people that stand for a spec's `dataset` at a tier; empty where none do."""
    people = catalog.people(dataset)
    return catalog.dataset(people).photos or people if people else ""


def followed(lines: Iterable[Line], dataset: str, catalog: Catalog) -> tuple[str, str]:
    """Return what curves call the people that stand for `dataset`, and an empty text.

    Where no curve follows those, those that stand for COCO val, and " on" them.
    """
    own = curve_key(dataset, catalog)
    usual = curve_key("coco-val", catalog) if "coco-val" in (catalog.tier.datasets or ()) else own
    known = {key for line in lines if (made := training_of(line)) for row in made.curve for key in row}
    return (usual, f" on {usual}") if f"{own}_ap" not in known and f"{usual}_ap" in known else (own, "")


def started_alike(first: Line, second: Line) -> bool:
    """Return whether two rows are of the same weights, or of weights that began alike and saw as many crops."""
    cells = [line.cells["accuracy"] for line in (first, second)]
    if cells[0].weights is not None and cells[0].weights == cells[1].weights:
        return True
    chances = {made and (made.crops, made.started_from) for made in map(training_of, (first, second))}
    return len(chances) == 1 and None not in chances


def title(loaded: LoadedSpec, lines: list[Line], catalog: Catalog) -> str:
    """Return the spec's title; at a tier with people of its own, with these, and how far trainings have come."""
    scored = any({"accuracy", "predictions"} & set(line.cells) for line in lines)
    dataset, own = str(loaded.spec.base.get("dataset", "")), catalog.tier.title
    peers_alone = all(cell.model.startswith(PEER) for line in lines for cell in line.cells.values())
    if own is None or not scored or peers_alone or not curve_key(dataset, catalog):
        return loaded.spec.title
    words = loaded.spec.title.replace(ORIGINALS.get(dataset, own), own)
    return f"{words} ({catalog.name} tier: {convergence(lines, *followed(lines, dataset, catalog))})"


def convergence(lines: Iterable[Line], data: str, on: str) -> str:
    """Return whether a table's trainings had come to an end; `data` and `on` as `followed` gives them."""
    made = [one for one in map(training_of, lines) if one is not None]
    gains = [gain for one in made if (gain := one.last_doubling(data)) is not None]
    if not made:
        return "nothing trained yet"
    if gains and max(gains) >= CONVERGED:
        return f"not converged, the last doubling of crops gained up to {max(gains):.1f} AP{on}"
    if len(gains) < len(made):
        return "not known whether converged"
    return f"converged, the last doubling of crops gained less than {CONVERGED:g} AP{on}"


def race_text(loaded: LoadedSpec, lines: list[Line], catalog: Catalog, below: int) -> list[str]:
    """Return what every row has had: crops, start, learning rate, and what the last doubling gained."""
    rows = [(line.row.label, made) for line in lines if (made := training_of(line)) is not None]
    data, on = followed(lines, str(loaded.spec.base.get("dataset", "")), catalog)
    notes = catalog.tier.notes if data else []
    if not rows:
        return list(notes)
    compared = rows[: len(rows) - below]
    under = [label for label, _ in rows[len(compared) :]]
    same = len({made.crops for _, made in compared}) <= 1
    tell = partial(told, rows, under)
    said = [
        tell("Crops of people seen in all, starts included", lambda made: f"{made.crops:,}", same=same),
        tell("Started from", lambda made: made.started_from),
        tell("Learning rate", rate_text),
        tell("Trained in", lambda made: made.precision),
        tell(f"The last doubling of crops gained{on}", lambda made: gain_text(made.last_doubling(data))),
    ]
    taught = [f"{label} from {made.teacher}" for label, made in rows if made.teacher]
    said += [f"Taught while it learnt: {', '.join(taught)}."] if taught else []
    guided = grouped((label, f"weight {made.guided:g}") for label, made in rows if made.guided)
    which = "; ".join(f"{weight}: {listed(labels, under)}" for weight, labels in guided.items())
    said += [f"Their attention had a loss of its own beside the paper's: {which}."] if guided else []
    if below:
        why = "as they began with something else or were guided"
        said.append(f"Below the line, not in the comparison, {why}: {listed(under, [])}.")
    if not loaded.spec.seeds:
        said.append("Each was trained once: intervals are of the choice of people alone.")
    return [*said, *notes]


def listed(labels: Sequence[str], under: Sequence[str]) -> str:
    """Return labels as text; many are counted, or are those `under` the line."""
    if len(labels) <= LISTED:
        return ", ".join(labels)
    return "all below the line" if labels == under else f"{len(labels)} rows"


def told(
    rows: Sequence[tuple[str, Training]],
    under: Sequence[str],
    what: str,
    say: Callable[[Training], str],
    *,
    same: bool = True,
) -> str:
    """Return a fact of all rows as text: once where they share it, else with the labels of those that do."""
    groups = grouped((label, say(made)) for label, made in rows)
    if len(groups) == 1:
        return f"{what}: {next(iter(groups))}, each row."
    facts = "; ".join(f"{fact}: {listed(labels, under)}" for fact, labels in groups.items())
    return f"{what}: {facts}{'' if same else ', NOT the same for all that are compared'}."


def rate_text(made: Training) -> str:
    """Return a learning rate, and out of which it was chosen."""
    if made.rates is None or "tried" not in made.rates:
        return f"{made.learning_rate:g}, not chosen from a list" if made.learning_rate else "not known"
    rates = [one["rate"] for one in made.rates["tried"]]
    end = {max(rates): "the largest of ", min(rates): "the smallest of "}.get(made.rates["chosen"], "of ")
    score = str(made.rates["score"]).upper()
    how = f"by {score} on {made.rates['judged_on']} after {made.rates['crops_each']:,} crops each"
    return f"{made.rates['chosen']:g} ({end}{', '.join(f'{rate:g}' for rate in rates)}, {how})"


def gain_text(gain: float | None) -> str:
    """Return what the last doubling of the crops gained, in AP in percent."""
    return "not known, no curve" if gain is None else f"{gain:+.1f} AP"


def seed_scores(line: Line) -> list[float]:
    """Return the AP in percent of every training that `scores_by_training` gives."""
    return [100 * score for score in scores_by_training(line).values()]


def scores_by_training(line: Line) -> dict[tuple[int | None, Path | None], float]:
    """Return the AP, a fraction, of a row's stored trainings that continue no pose network, by seed and weights."""
    found = {
        (seed.cell.seed, seed.cell.weights): seed.record.metrics.get("ap")
        for seed in line.seeds
        if seed.record and began_alone(seed.cell)
    }
    return {training: score for training, score in found.items() if score is not None}


def over_trainings(first: Line, second: Line) -> str:
    """Return what two rows' trainings say of their difference, in AP in percent; nothing below three of either.

    Rows of the same weights are compared training by training.
    """
    ours, theirs = scores_by_training(first), scores_by_training(second)
    same = ours.keys() == theirs.keys()
    values = [theirs[training] for training in ours] if same else list(theirs.values())
    between = t_interval_between(list(ours.values()), values, paired=same)
    counts = " and ".join(dict.fromkeys(map(str, map(len, (ours, theirs)))))
    return "" if between is None else f", over {counts} trainings {spread_text(between)}"


def began_alone(cell: Cell) -> bool:
    """Return whether the weights of a cell are there and owe nothing to a trained pose network."""
    return cell.weights is not None and read_training(cell.weights).start != POSE_NETWORK


def training_numbers(line: Line, data: str) -> dict[str, Any]:
    """Return what `race_text` says of a row, for files."""
    made = training_of(line)
    return {
        "crops": made and made.crops,
        "start": made and made.start,
        "learning_rate": made and made.learning_rate,
        "last_doubling_ap": made and made.last_doubling(data),
    }
