"""A cell judged as on a test split: from a submission that was made without annotations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cells.cells import Cell
from sharpose.data.pictures import unchanged
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of

if TYPE_CHECKING:
    from experiments.spec.datasets import DataSet
    from sharpose.evaluation.coco import Evaluation
    from sharpose.evaluation.request import EvaluationRequest
    from sharpose.inference.dataset import Predictions


def judge_cell(
    cell: Cell, asked: EvaluationRequest, data: DataSet, progress: Callable[[int, int], None]
) -> tuple[Evaluation, dict[str, Any]]:
    """Return the evaluation of a submission, and the digests of all files that it follows from.

    Raises InputError for annotated boxes, which are withheld too.
    """
    from sharpose.evaluation.blind import judge_blind, split_name
    from sharpose.evaluation.coco import box_facts
    from sharpose.evaluation.evaluate import open_network, open_people, predicted

    people = asked.people
    if people.boxes == "ground-truth":
        raise InputError(f"{cell.name}: annotated boxes are withheld too; give the row `boxes: detections`")
    assert people.images is not None
    network = open_network(asked)
    found: list[tuple[Predictions, str]] = []

    def rows(info: Path) -> list[dict[str, Any]]:
        dataset, _ = open_people(replace(people, data=str(info)), network, labelled=False)
        with unchanged(dataset.pictures) as pictures:
            found.append((predicted(network, dataset, asked, progress), pictures))
        return found[0][0].results(dataset, asked.post_processing)

    split = split_name(data.mannequin or "", data.people.parameters.version if data.people else 0)
    how: dict[str, Any] = {"split": split, "algorithm": cell.model, "image_size": network.crops["image_size"]}
    judged = judge_blind(rows, Path(people.data), people.images, Path(people.boxes), **how)
    predictions, pictures = found[0]
    facts = {**network.facts, "submission_sha256": judged.submission.sha256, "pictures_sha256": pictures}
    facts |= {"annotations_sha256": sha256_of(Path(people.data))}
    evaluation = replace(judged.evaluation, refine_rate=predictions.refine_rate, kept_patches=predictions.kept_patches)
    return evaluation, {**facts, **box_facts(judged.labelled)}
