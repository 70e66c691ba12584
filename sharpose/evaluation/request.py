"""An evaluation as it is asked for: the same request from the command line, the harness and a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpose.evaluation.metrics.evaluators import Evaluator
from sharpose.evaluation.metrics.postprocess import PROTOCOL, PostProcessing
from sharpose.inference.heatmap_file import Reading


@dataclass(frozen=True, kw_only=True)
class People:
    """Who is judged.

    data: a named set, a folder of YOLO-pose or FiftyOne, or an annotations file (COCO's or MPII's layout) with the
    folder of its `images`. boxes: `ground-truth`, or a detections file. by_name: match the file's keypoints with the
    model's by their names. ground_truth: MPII's, where it does not lie beside the annotations. category: the keypoint
    category's name, where it is not person, or not alone.
    """

    data: str
    images: Path | None = None
    boxes: str = "ground-truth"
    by_name: bool = False
    ground_truth: Path | None = None
    category: str | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What predicts, for whom, how, and how it is scored; `sharpose evaluate` has an option for each.

    model, options, weights: a network of ours, with a weights file or name (None: those that ship; `random`). file,
    reading: in its place, another project's network and how it is meant. mean_over: the people over whom `selection =
    "constant"` takes its mean.
    """

    people: People
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    file: Path | None = None
    reading: Reading = field(default_factory=Reading)
    flip_test: bool = True
    batch_size: int = 32
    workers: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    backend: str = "eager"
    deterministic: bool = False
    mean_over: People | None = None
    post_processing: PostProcessing = PROTOCOL
    evaluator: Evaluator = "pycocotools"
    save_results: Path | None = None
