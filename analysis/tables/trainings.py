"""What stands behind trained weights: crops seen in all, what they started from, and whether they still learnt.

Rules of a fair comparison: equal chances, equal starts, long enough, and ± over own initialisations alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from analysis.tables.lines import Line, seed_scores
from analysis.tables.starts import ancestors
from experiments.spec.catalog import Catalog
from experiments.spec.spec import LoadedSpec
from sharpose.evaluation.metrics.significance import LEAST_TRAININGS, t_interval

RANDOM, LABEL_FREE, POSE_NETWORK = "random", "label-free", "pose network"
CONVERGED = 1.0
"""A table is called converged where the last doubling of crops gained less than so many AP."""
Curve = tuple[Mapping[str, float | None], ...]


@dataclass(frozen=True)
class Training:
    """Weights and how they came to be. crops: seen in all, by what they started from too. start: of what kind that was.

    curve: a row per validation, `crops` and `SET_ap`, `SET_pck` as fractions, over all phases of the training.
    rates: how the learning rate was chosen, None where it was not.
    """

    name: str
    crops: int
    start: str
    started_from: str
    curve: Curve
    learning_rate: float | None
    rates: Mapping[str, Any] | None
    teacher: str | None

    def last_doubling(self, data: str) -> float | None:
        """AP on `data` that the last doubling of crops gained, in percent; None where no curve reaches so far back."""
        scored = [(row["crops"], row.get(f"{data}_ap")) for row in self.curve]
        points = [(crops, score) for crops, score in scored if crops is not None and score is not None]
        if len(points) < 2:
            return None
        (end, last), first = points[-1], points[0][0]
        # steps are whole, so the point at half of the way may lie a step behind it
        half = max(end / 2, first) if first < 1.02 * end / 2 else end / 2
        before = interpolated(points, half)
        return None if before is None else 100 * (last - before)


def interpolated(points: Sequence[tuple[float, float]], crops: float) -> float | None:
    """The score at so many crops, on a line over their logarithm; None before the first point."""
    for (left, low), (right, high) in pairwise(points):
        if left <= crops <= right:
            return low + (high - low) * math.log(crops / left) / math.log(right / left)
    return None


@cache
def read_training(weights: Path) -> Training:
    """Return what the manifest beside weights says. Catalog.weights has checked that it is there."""
    made = json.loads(weights.with_suffix(".json").read_bytes())
    kind, said = start_of(made)
    recipe, teacher = made.get("recipe") or {}, made.get("teacher")
    return Training(
        name=weights.stem,
        crops=crops_of(made),
        start=kind,
        started_from=said,
        curve=curve_of(made),
        learning_rate=recipe.get("learning_rate"),
        rates=made.get("learning_rates"),
        teacher=teacher and teacher["file"].removesuffix(".safetensors"),
    )


def crops_of(made: Mapping[str, Any]) -> int:
    """Crops of a training and of all that it started from, as far as that says."""
    return sum(own_crops(one) for one in (made, *ancestors(made)))


def own_crops(made: Mapping[str, Any]) -> int:
    """Return the crops that a training itself has seen, without those of its start; 0 if its manifest does not say."""
    return int(made.get("steps", 0) * (made.get("recipe") or {}).get("batch_size", 0))


def start_of(made: Mapping[str, Any]) -> tuple[str, str]:
    """The kind of start, and what it was. An earlier phase of the same model is no start: its own is."""
    init = made.get("init")
    if init is None:
        return RANDOM, "random weights"
    # only an image encoder has a class token to leave out
    if "cls_token" in (init.get("taken") or {}).get("unexpected", ()):
        return LABEL_FREE, f"{init['file']} ({init['sha256'][:8]}), which has seen no keypoint"
    before = init.get("manifest")
    if before and before.get("model") == made.get("model"):
        return start_of(before)
    return POSE_NETWORK, f"weights of {before['model']}" if before else f"{init['file']}, of unknown origin"


def curve_of(made: Mapping[str, Any]) -> Curve:
    """The curve of all phases of a training, over the crops seen in all of them."""
    before = (made.get("init") or {}).get("manifest")
    own, seen = made.get("curve") or [], 0
    earlier: Curve = ()
    if before and before.get("model") == made.get("model"):
        earlier, seen = curve_of(before), crops_of(before)
    return (*earlier, *({**row, "crops": row["crops"] + seen} for row in own))


def training_of(line: Line) -> Training | None:
    """The training behind a row's accuracy; None for a control, and where nothing is trained."""
    cell = line.cells.get("accuracy") or line.cells.get("predictions")
    return None if cell is None or cell.weights is None else read_training(cell.weights)


def compared_first(lines: list[Line], catalog: Catalog) -> tuple[list[Line], int]:
    """The rows that are compared, then those that started from something else, and how many these are."""
    wanted = catalog.tier.starts
    others = [line for line in lines if wanted and (made := training_of(line)) is not None and made.start != wanted]
    return [line for line in lines if line not in others] + others, len(others)


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
