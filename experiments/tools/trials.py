"""What a choice in training is worth: variants trained on the same budget, a line of a log for each.

    python -m experiments.tools.trials recipes --cpu-minutes 10 --only nano --only rate-4e-3
    python -m experiments.tools.trials starts-nano
    python -m experiments.tools.trials starts-small --init vit-small.safetensors

`recipes`: what an hour of CPU time is worth, by the AP of variants of a recipe after the same CPU time. They are chosen
on the people of mannequin-val; mannequin-test has others. `starts-nano`, `starts-small`: how keypoint tokens begin to
learn, by PCK and loss after the same few thousand photographs. `--show` prints what was measured before as a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import Line, options, run, study
from results.logs import markdown
from sharpose.runtime.errors import InputError, nearest
from sharpose.training.recipe import load_recipe

JUDGED_ON = ("mannequin-val", "mannequin-test")
# crops a CPU second on one thread, to choose how many crops make up a budget; what was used is measured
COARSE_CROPS, BOTH_CROPS = 190.0, 60.0


def recipe_changes(cpu_s: float, coarse: float = 4 / 5.5, decay: float = 1 / 5.5, **changes: Any) -> dict[str, Any]:
    """Return what to set in nano's recipe for a budget of so much CPU time, in seconds.

    `coarse` and `decay` are shares of all crops: those of the coarse stage alone at first, and those at the end over
    which the learning rate falls to zero.
    """
    crops = cpu_s / (coarse / COARSE_CROPS + (1 - coarse) / BOTH_CROPS)
    epochs = round(crops / Recipes.people, 4)
    return {
        "epochs": epochs,
        "coarse_only_epochs": coarse * epochs,
        "linear_decay_epochs": decay * epochs,
        # the quality is learnt at the end, as in nano
        "quality_start_epoch": 4.5 / 5.5 * epochs,
        "warmup_iterations": 200,
        **changes,
    }


@dataclass(frozen=True)
class Recipes:
    """Variants of the recipe nano, by what `recipe_changes` takes, trained for about the same CPU time."""

    trials: Mapping[str, Line]
    model: ClassVar[str] = "sharpose-nano-128x96"
    recipe: ClassVar[str] = "nano"
    people: ClassVar[int] = 49_925
    log: ClassVar[Path] = REPOSITORY / "docs" / "recipe-trials.jsonl"

    def request(self, name: str, chosen: argparse.Namespace) -> dict[str, Any]:
        """Return how a trial is trained."""
        return {
            "changes": recipe_changes(60 * chosen.cpu_minutes, **self.trials[name]),
            "data": ["mannequin-train"],
            "out": chosen.out / "recipes" / f"{name}-{chosen.cpu_minutes:g}-seed{chosen.seed}",
            "seed": chosen.seed,
        }

    def line(self, name: str, facts: Line, chosen: argparse.Namespace) -> dict[str, Any]:
        """Return what is logged of a training."""
        base, made = load_recipe(self.recipe).model_dump(mode="json"), facts["recipe"]
        return {
            "trial": name,
            "cpu_minutes_wanted": chosen.cpu_minutes,
            "cpu_s": facts["cpu_s"],
            "wall_s": facts["wall_s"],
            "crops": facts["steps"] * made["batch_size"],
            "changes": {key: value for key, value in made.items() if value != base.get(key)},
            "seed": chosen.seed,
            **{people: self.judge(facts["weights"], people) for people in JUDGED_ON},
            "threads": facts["threads"],
        }

    def judge(self, weights: str, people: str) -> dict[str, float | None]:
        """Return AP of the coarse answer and of the fine one at α = 0.4, in annotated boxes, without flip test."""
        from sharpose.evaluation.coco import Evaluation
        from sharpose.evaluation.evaluate import evaluate
        from sharpose.evaluation.request import EvaluationRequest, People

        found = {}
        for stage, threshold in (("coarse", 0.0), ("fine", None)):
            options = {"alpha": 0.4, "quality_threshold": threshold}
            network: dict[str, Any] = {"model": self.model, "options": options, "weights": weights}
            evaluation, _ = evaluate(EvaluationRequest(people=People(data=people), flip_test=False, **network))
            assert isinstance(evaluation, Evaluation)  # people in COCO's layout
            found[stage] = evaluation.metrics.ap
        return found

    def table(self, lines: Sequence[Line]) -> str:
        """Return the log as a Markdown table, the best first."""
        val, test = JUDGED_ON
        rows = []
        for line in sorted(lines, key=lambda line: (line["cpu_minutes_wanted"], -line[val]["fine"])):
            scores = (line[val]["coarse"], line[val]["fine"], line[test]["fine"])
            cells = [line["trial"], f"{line['cpu_s'] / 60:.1f}", f"{line['crops']:,}"]
            rows.append([*cells, *(f"{100 * score:.1f}" for score in scores)])
        return markdown(("recipe", "CPU min", "crops", "coarse AP", "AP", "AP, other people"), rows)


@dataclass(frozen=True)
class Starts:
    """Starts, losses and batches of a coarse stage, compared over the same few thousand photographs."""

    study: str
    model: str
    recipe: str
    crops: int
    options: Line
    trials: Mapping[str, Line]
    people: ClassVar[int] = 21_458
    judged_on: ClassVar[str] = "photos-val"
    log: ClassVar[Path] = REPOSITORY / "docs" / "start-trials.jsonl"

    def request(self, name: str, chosen: argparse.Namespace) -> dict[str, Any]:
        """Return how a trial is trained: rate and cross-entropy fall to zero over its crops."""
        from sharpose.evaluation.validation import validate_on

        epochs = self.crops / self.people
        lengths = {"epochs": epochs, "linear_decay_epochs": epochs, "cross_entropy_epochs": epochs}
        stages = {"coarse_only_epochs": 0, "quality_weight": 0, "model_options": dict(self.options)}
        return {
            "changes": {**lengths, "warmup_iterations": 50, **stages, **self.trials[name]},
            "data": ["photos-train"],
            "out": chosen.out / "starts" / self.study / name.replace(" ", "-").replace(",", ""),
            "init": chosen.init,
            "precision": "bf16",
            "validate": validate_on([self.judged_on]),
            "points": 2,
        }

    def line(self, name: str, facts: Line, chosen: argparse.Namespace) -> dict[str, Any]:
        """Return what is logged of a training."""
        return {
            "study": self.study,
            "trial": name,
            "crops": facts["curve"][-1]["crops"],
            "loss": facts["log"][-1]["coarse"],
            "curve": facts["curve"],
            "cpu_s": facts["cpu_s"],
            "changes": dict(self.trials[name]),
            "init": facts["init"] and facts["init"]["sha256"],
        }

    def table(self, lines: Sequence[Line]) -> str:
        """Return the log as a Markdown table."""
        rows = []
        for line in lines:
            half, end = (f"{100 * row[f'{self.judged_on}_pck']:.1f}" for row in line["curve"][-2:])
            rows.append([line["study"], line["trial"], f"{line['crops']:,}", half, end, f"{line['loss']:.2e}"])
        return markdown(("study", "start and loss", "crops", "PCK half-way", "PCK", "loss at the end"), rows)


COARSE = {"stages": "coarse", "oks_target": "paper"}
OWN = {"head_init_std": None}
CROSS_ENTROPY = {"cross_entropy": 1e-3}
GUIDED = {"attention": 1e-2}
STUDIES: dict[str, Recipes | Starts] = {
    "recipes": Recipes(
        {
            "nano": {},
            "both": {"coarse": 0},
            "coarse-45": {"coarse": 0.45},
            "decay": {"decay": 1},
            "decay-4e-3": {"decay": 1, "learning_rate": 4e-3},
            "rate-4e-3": {"learning_rate": 4e-3},
            # warm-up over as many crops, and a rate that goes with the root of the batch
            "batch-8": {"batch_size": 8, "learning_rate": 1e-3, "warmup_iterations": 800},
            "batch-16": {"batch_size": 16, "learning_rate": 1.4e-3, "warmup_iterations": 400},
            # a head whose last layer starts near zero, and nothing else
            "head-near-zero": {"head_init_std": 0.001},
            "batch-16-2.8e-3": {"batch_size": 16, "learning_rate": 2.8e-3, "warmup_iterations": 400},
        }
    ),
    "starts-nano": Starts(
        "nano",
        "sharpose-nano-128x96",
        "photos-nano",
        16_000,
        COARSE,
        {
            "own head": OWN,
            "head near zero": {},
            "near zero, cross-entropy": CROSS_ENTROPY,
            "near zero, attention guided": GUIDED,
            "near zero, batches of 8": {"batch_size": 8, "learning_rate": 7e-4},
            "near zero, batches of 32": {"batch_size": 32, "learning_rate": 1.4e-3},
        },
    ),
    "starts-small": Starts(
        "small",
        "sharpose-small-256x192",
        "photos-small",
        3_000,
        {**COARSE, "num_heads": 6, "drop_path": 0.0},
        {
            "own head, tokens decayed by layer": {**OWN, "decay_embeddings": True},
            "own head": OWN,
            "head near zero": {},
            "near zero, cross-entropy": CROSS_ENTROPY,
            "near zero, attention guided": GUIDED,
        },
    ),
}


def run_trial(kind: Recipes | Starts, chosen: argparse.Namespace, name: str) -> dict[str, Any]:
    """Train one variant, or go on where it stopped, and judge it; the line of the log."""
    from sharpose.training.request import TrainingRequest
    from sharpose.training.session import train_and_export

    asked = TrainingRequest(model=kind.model, recipe=kind.recipe, preload=True, **kind.request(name, chosen))
    line = kind.line(name, train_and_export(asked), chosen)
    return {**line, **provenance(local_device("cpu")), **line}


def main() -> None:
    """Run the variants asked for and log a line each, or print the log. Raises InputError for an unknown variant."""
    parser = options(__doc__, log=True)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--only", action="append", default=[], help="a variant; may be repeated; default: all")
    parser.add_argument("--cpu-minutes", type=float, default=10, help="about so much for each training of `recipes`")
    parser.add_argument("--seed", type=int, default=0, help="of `recipes`")
    parser.add_argument("--init", help="weights that `starts` begin with")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "trials", help="folder of run folders")
    chosen = parser.parse_args()
    kind = STUDIES[chosen.study]
    for name in chosen.only:
        if name not in kind.trials:
            raise InputError(f"--only {name!r}: no variant is called so{nearest(name, kind.trials)}")
    names = chosen.only or kind.trials
    study(kind.log, kind.table, chosen.show, lambda: ([run_trial(kind, chosen, name)] for name in names))


if __name__ == "__main__":
    run(main)
