"""What an hour of CPU time is worth: variants of a recipe, trained for the same CPU time, judged by AP.

    python -m experiments.tools.recipe_trials --cpu-minutes 10 --only nano --only rate-4e-3

Variants are chosen on the people of mannequin-val; mannequin-test has others. A line per training is added to
docs/recipe-trials.jsonl; `--show` prints them as a table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import run
from sharpose.runtime.errors import InputError, nearest
from sharpose.training.recipe import load_recipe

LOG = REPOSITORY / "docs" / "recipe-trials.jsonl"
MODEL, BASE, DATA = "sharpose-nano-128x96", "nano", "mannequin-train"
PEOPLE = 49_925
JUDGED_ON = ("mannequin-val", "mannequin-test")
# crops a CPU second on one thread, to choose how many crops make up a budget; what was used is measured
COARSE_CROPS, BOTH_CROPS = 190.0, 60.0


@dataclass(frozen=True)
class Trial:
    """A recipe as its difference from nano's.

    `coarse` and `decay` are shares of all crops: those of the coarse stage alone at first, and those at the end over
    which the learning rate falls to zero.
    """

    coarse: float = 4 / 5.5
    decay: float = 1 / 5.5
    changes: Mapping[str, Any] = field(default_factory=dict)

    def epochs(self, cpu_s: float) -> float:
        """How often all people are seen in about so much CPU time."""
        return cpu_s / (PEOPLE * (self.coarse / COARSE_CROPS + (1 - self.coarse) / BOTH_CROPS))

    def recipe_changes(self, cpu_s: float) -> dict[str, Any]:
        """What to set in nano's recipe for a budget of so much CPU time."""
        epochs = round(self.epochs(cpu_s), 4)
        return {
            "epochs": epochs,
            "coarse_only_epochs": self.coarse * epochs,
            "linear_decay_epochs": self.decay * epochs,
            # the quality is learnt at the end, as in nano
            "quality_start_epoch": 4.5 / 5.5 * epochs,
            "warmup_iterations": 200,
            **self.changes,
        }


TRIALS = {
    "nano": Trial(),
    "both": Trial(coarse=0),
    "coarse-45": Trial(coarse=0.45),
    "decay": Trial(decay=1),
    "decay-4e-3": Trial(decay=1, changes={"learning_rate": 4e-3}),
    "rate-4e-3": Trial(changes={"learning_rate": 4e-3}),
    # warm-up over as many crops, and a rate that goes with the root of the batch
    "batch-8": Trial(changes={"batch_size": 8, "learning_rate": 1e-3, "warmup_iterations": 800}),
    "batch-16": Trial(changes={"batch_size": 16, "learning_rate": 1.4e-3, "warmup_iterations": 400}),
    "batch-16-2.8e-3": Trial(changes={"batch_size": 16, "learning_rate": 2.8e-3, "warmup_iterations": 400}),
}


def run_trial(name: str, cpu_minutes: float, out: Path, seed: int) -> dict[str, Any]:
    """Train one variant, or go on where it stopped, and judge it; the line of the log."""
    from sharpose.training.request import TrainingRequest
    from sharpose.training.session import train_and_export

    trial = TRIALS[name]
    asked = TrainingRequest(
        model=MODEL,
        recipe=BASE,
        changes=trial.recipe_changes(60 * cpu_minutes),
        data=[DATA],
        out=out / f"{name}-{cpu_minutes:g}-seed{seed}",
        seed=seed,
        preload=True,
    )
    facts = train_and_export(asked)
    base, made = load_recipe(BASE).model_dump(mode="json"), facts["recipe"]
    return {
        "trial": name,
        "cpu_minutes_wanted": cpu_minutes,
        "cpu_s": facts["cpu_s"],
        "wall_s": facts["wall_s"],
        "crops": facts["steps"] * made["batch_size"],
        "changes": {key: value for key, value in made.items() if value != base.get(key)},
        "seed": seed,
        **{people: judge(facts["weights"], people) for people in JUDGED_ON},
        **provenance(local_device("cpu")),
        "threads": facts["threads"],
    }


def judge(weights: str, people: str) -> dict[str, float | None]:
    """AP of the coarse answer and of the fine one at α = 0.4, in annotated boxes, without flip test."""
    from sharpose.evaluation.coco import Evaluation
    from sharpose.evaluation.evaluate import assess
    from sharpose.evaluation.request import EvaluationRequest, People

    found = {}
    for stage, threshold in (("coarse", 0.0), ("fine", None)):
        asked = EvaluationRequest(
            people=People(data=people),
            model=MODEL,
            options={"alpha": 0.4, "quality_threshold": threshold},
            weights=weights,
            flip_test=False,
        )
        evaluation, _ = assess(asked)
        assert isinstance(evaluation, Evaluation)  # people in COCO's layout
        found[stage] = evaluation.metrics.ap
    return found


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The log as a Markdown table, the best first."""
    rows = ["| recipe | CPU min | crops | coarse AP | AP | AP, other people |", "|---|---|---|---|---|---|"]
    val, test = JUDGED_ON
    for line in sorted(lines, key=lambda line: (line["cpu_minutes_wanted"], -line[val]["fine"])):
        cells = [
            line["trial"],
            f"{line['cpu_s'] / 60:.1f}",
            f"{line['crops']:,}",
            *(f"{100 * value:.1f}" for value in (line[val]["coarse"], line[val]["fine"], line[test]["fine"])),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Run the variants asked for and log a line each, or print the log. Raises InputError for an unknown variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-minutes", type=float, default=10, help="about so much for each training")
    parser.add_argument("--only", action="append", default=[], help="a variant; may be repeated; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "trials", help="folder of run folders")
    parser.add_argument("--show", action="store_true", help="print what was measured, and train nothing")
    chosen = parser.parse_args()
    if chosen.show:
        print(table([json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]))
        return
    for name in chosen.only:
        if name not in TRIALS:
            raise InputError(f"--only {name!r}: no variant is called so{nearest(name, TRIALS)}")
    for name in chosen.only or TRIALS:
        line = run_trial(name, chosen.cpu_minutes, chosen.out, chosen.seed)
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(table([line]), flush=True)


if __name__ == "__main__":
    run(main)
