"""Generated people judged as a test split is: predicted without annotations, from a submission, scored afterwards.

What predicts sees image information and boxes alone; the score is of the file that would be uploaded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpose.data.annotations import load_pose_file
from sharpose.data.coco import CocoTopDown
from sharpose.evaluation.coco import Evaluation, score_results
from sharpose.evaluation.submission import Submission, read_submission, withhold, write_submission

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Blind:
    """A submission, and its evaluation once the annotations were opened; `labelled` are the people it was scored on."""

    submission: Submission
    evaluation: Evaluation
    labelled: CocoTopDown


def split_name(data: str, version: int) -> str:
    """Return a split's name by COCO's rule, a name and four digits: `mannequin2-test0002`."""
    return f"{data}{version:04d}"


def judge_blind(
    predict_rows: Callable[[Path], Rows],
    annotations: Path,
    images: Path,
    boxes: Path,
    *,
    split: str,
    algorithm: str,
    image_size: tuple[int, int],
    folder: Path | None = None,
) -> Blind:
    """Predict, pack and score. predict_rows: from an image info file to results; it is given nothing else.

    folder: where info and submission are kept; left out, nowhere.
    """
    with tempfile.TemporaryDirectory() as nowhere:
        place = folder or Path(nowhere)
        info = withhold(annotations, split, place)
        made = write_submission(predict_rows(info), load_pose_file(info), algorithm, place)
        # annotations are opened here, not before
        labelled = CocoTopDown(annotations, images, image_size=image_size, boxes=boxes)
        return Blind(made, score_results(read_submission(made.path), labelled), labelled)
