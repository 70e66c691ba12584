"""What reproducing every table from scratch would take, by calculation: no number here was measured on a GPU.

    python -m analysis.cost.scale
A row is trained once, on COCO train2017 for the paper's 210 epochs, and evaluated once on val2017 with the detector's
boxes and the flip test. Operations come from closed forms; the speed is a device's peak times a stated utilisation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from experiments.cells.cells import model_identity
from experiments.spec.spec import LoadedSpec, is_ours, load_specs
from sharpose.models.registry import recorded_cost

# labelled people of person_keypoints_train2017.json, and boxes of the val2017 detections (AP 56.4) that all papers use
TRAINING_PEOPLE, EPOCHS, DETECTED_BOXES = 149_813, 210, 104_125
# a backward pass costs two forward ones; a multiply-add is two operations
BACKWARD, OPERATIONS = 2, 2
# dense bf16 operations per second of the data sheet, and the share of them that this calculation assumes
PEAK, UTILISATION = {"H100": 989e12, "A100": 312e12}, 0.2

# options that are chosen after training
CHOSEN_LATER = ("quality_threshold", "alpha_mass", "fine_merge")


@dataclass(frozen=True)
class Work:
    """A table's trainings, and operations to train and to evaluate all of them once."""

    table: str
    trainings: int
    training: float
    evaluation: float

    def hours(self, device: str) -> float:
        """On one GPU, at the assumed utilisation."""
        return (self.training + self.evaluation) / (PEAK[device] * UTILISATION) / 3600


def table_work(loaded: LoadedSpec, done: set[str] | None = None) -> Work:
    """The work of a table; models in `done` are another table's, and those of this one are added to it."""
    done = set() if done is None else done
    macs = []
    for row in loaded.spec.rows:
        settings = loaded.settings(row)
        if not is_ours(settings.model) or "accuracy" not in loaded.measures(row):
            continue
        identity = model_identity(settings.model, settings.options)
        name = json.dumps({key: identity[key] for key in identity if key not in CHOSEN_LATER}, sort_keys=True)
        if name not in done:
            done.add(name)
            cost = recorded_cost(identity)
            if cost is None:
                raise loaded.row_error(row, f"{settings.model} has no closed form to calculate with")
            macs.append(cost.macs)
    once = OPERATIONS * sum(macs)
    return Work(
        loaded.id,
        len(macs),
        once * (1 + BACKWARD) * TRAINING_PEOPLE * EPOCHS,
        # the flip test looks twice
        once * 2 * DETECTED_BOXES,
    )


def markdown() -> str:
    """GPU hours per table; models that an earlier line already counts are not counted again."""
    done: set[str] = set()
    works = [table_work(loaded, done) for loaded in load_specs()]
    whole = Work("all", *(sum(getattr(w, name) for w in works) for name in ("trainings", "training", "evaluation")))
    lines = [
        "| table | new trainings | operations (1e18) | H100 hours | A100 hours |",
        "| --- | --- | --- | --- | --- |",
    ]
    for work in [*works, whole]:
        operations = (work.training + work.evaluation) / 1e18
        hours = [f"{work.hours(device):,.0f}" for device in PEAK]
        lines.append(f"| {work.table} | {work.trainings} | {operations:,.0f} | {' | '.join(hours)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
