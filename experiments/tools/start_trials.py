"""How keypoint tokens begin to learn: starts, losses and batches compared over the same few thousand photographs.

    python -m experiments.tools.start_trials nano
    python -m experiments.tools.start_trials small --init vit-small.safetensors

Every training sees the same crops and is judged by PCK and the loss on people held out. A line per training is added
to docs/start-trials.jsonl; `--show` prints them as tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.cells.provenance import REPOSITORY, local_device, provenance
from experiments.tools.module import run

LOG = REPOSITORY / "docs" / "start-trials.jsonl"
DATA, JUDGED_ON = "photos-train", "photos-val"
PEOPLE = 21_458
COARSE = {"stages": "coarse", "oks_target": "paper"}
OWN = {"head_init_std": None}
CROSS_ENTROPY = {"cross_entropy": 1e-3}


@dataclass(frozen=True)
class Study:
    """A model and recipe, how many crops each training sees, and the changes that are compared."""

    model: str
    recipe: str
    crops: int
    options: Mapping[str, Any]
    trials: Mapping[str, Mapping[str, Any]]

    def changes(self, name: str) -> dict[str, Any]:
        """What a trial sets in the recipe: the same crops, over which rate and cross-entropy fall to zero."""
        epochs = self.crops / PEOPLE
        fixed: dict[str, Any] = {
            "epochs": epochs,
            "linear_decay_epochs": epochs,
            "warmup_iterations": 50,
            "coarse_only_epochs": 0,
        }
        fixed |= {"quality_weight": 0, "model_options": dict(self.options), "cross_entropy_epochs": epochs}
        return {**fixed, **self.trials[name]}


STUDIES = {
    "nano": Study(
        "sharpose-nano-128x96",
        "photos-nano",
        16_000,
        COARSE,
        {
            "own head": OWN,
            "head near zero": {},
            "near zero, cross-entropy": CROSS_ENTROPY,
            "near zero, batches of 8": {"batch_size": 8, "learning_rate": 7e-4},
            "near zero, batches of 32": {"batch_size": 32, "learning_rate": 1.4e-3},
        },
    ),
    "small": Study(
        "sharpose-small-256x192",
        "photos-small",
        3_000,
        {**COARSE, "num_heads": 6, "drop_path": 0.0},
        {
            "own head, tokens decayed by layer": {**OWN, "decay_embeddings": True},
            "own head": OWN,
            "head near zero": {},
            "near zero, cross-entropy": CROSS_ENTROPY,
        },
    ),
}


def run_trial(study: str, name: str, init: str | None, out: Path) -> dict[str, Any]:
    """Train one variant, or go on where it stopped; the line of the log."""
    from sharpose.evaluation.validation import validate_on
    from sharpose.training.request import TrainingRequest
    from sharpose.training.session import train_and_export

    chosen = STUDIES[study]
    asked = TrainingRequest(
        model=chosen.model,
        recipe=chosen.recipe,
        changes=chosen.changes(name),
        data=[DATA],
        out=out / study / name.replace(" ", "-").replace(",", ""),
        init=init,
        precision="bf16",
        preload=True,
        validate=validate_on([JUDGED_ON]),
        points=2,
    )
    facts = train_and_export(asked)
    return {
        "study": study,
        "trial": name,
        "crops": facts["curve"][-1]["crops"],
        "loss": facts["log"][-1]["coarse"],
        "curve": facts["curve"],
        "cpu_s": facts["cpu_s"],
        "changes": dict(chosen.trials[name]),
        "init": facts["init"] and facts["init"]["sha256"],
        **provenance(local_device("cpu")),
    }


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The log as a Markdown table."""
    rows = ["| study | start and loss | crops | PCK half-way | PCK | loss at the end |", "|---|---|---|---|---|---|"]
    for line in lines:
        half, end = (f"{100 * row[f'{JUDGED_ON}_pck']:.1f}" for row in line["curve"][-2:])
        rows.append(f"| {line['study']} | {line['trial']} | {line['crops']:,} | {half} | {end} | {line['loss']:.2e} |")
    return "\n".join(rows)


def main() -> None:
    """Run the trials of a study and log a line each, or print the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES, nargs="?")
    parser.add_argument("--init", help="weights to start from")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "runs" / "starts", help="folder of run folders")
    parser.add_argument("--show", action="store_true", help="print what was measured, and train nothing")
    chosen = parser.parse_args()
    if chosen.show or chosen.study is None:
        print(table([json.loads(line) for line in LOG.read_text().splitlines()]))
        return
    for name in STUDIES[chosen.study].trials:
        line = run_trial(chosen.study, name, chosen.init, chosen.out)
        with LOG.open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(table([line]), flush=True)


if __name__ == "__main__":
    run(main)
