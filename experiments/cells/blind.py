"""A cell judged as on a test split: from a submission that was made without annotations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cells.cells import Cell
from sharpose.data.pictures import unchanged
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import sha256_of

if TYPE_CHECKING:
    from experiments.cells.measures import DataFiles
    from experiments.spec.tiers import DataSet
    from sharpose.codecs.choice import HeatmapCodec
    from sharpose.evaluation.coco import Evaluation
    from sharpose.inference.dataset import Predictions
    from sharpose.models.output import PoseModel


def judge_cell(
    cell: Cell, files: DataFiles, data: DataSet, model: PoseModel, codec: HeatmapCodec, run: dict[str, Any]
) -> tuple[Evaluation, dict[str, Any]]:
    """The evaluation of a submission, and the digests of all files that it follows from. run: how is predicted."""
    from sharpose.data.coco import CocoTopDown
    from sharpose.evaluation.blind import judge_blind, split_name
    from sharpose.evaluation.coco import box_facts
    from sharpose.inference.dataset import predict

    if files.detections is None or cell.boxes == "ground-truth":
        raise InputError(f"{cell.name}: annotated boxes are withheld too; give the row `boxes: detections`")
    size, boxes = model.config.image_size, files.detections
    found: list[tuple[Predictions, str]] = []

    def rows(info: Path) -> list[dict[str, Any]]:
        dataset = CocoTopDown(info, files.images, image_size=size, boxes=boxes, warp=codec.warp)
        with unchanged(dataset.pictures) as pictures:
            found.append((predict(model, dataset, codec, **run), pictures))
        return found[0][0].results(dataset)

    split = split_name(data.mannequin or "", data.people.parameters.version if data.people else 0)
    how: dict[str, Any] = {"split": split, "algorithm": cell.model, "image_size": size}
    judged = judge_blind(rows, files.annotations, files.images, boxes, **how)
    predictions, pictures = found[0]
    facts = {"submission_sha256": judged.submission.sha256, "pictures_sha256": pictures}
    facts |= {"annotations_sha256": sha256_of(files.annotations)}
    evaluation = replace(judged.evaluation, refine_rate=predictions.refine_rate, kept_patches=predictions.kept_patches)
    return evaluation, {**facts, **box_facts(judged.labelled)}
