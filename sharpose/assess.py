"""An evaluation from names and paths: which weights, people and boxes; and the facts that go with its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sharpose.backends.choice import EAGER, check_backend
from sharpose.backends.deploy import deploy
from sharpose.codecs.choice import codec_of
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_data
from sharpose.errors import InputError
from sharpose.evaluate import Evaluation, evaluate, save_results
from sharpose.files import sha256_of
from sharpose.models import create_model
from sharpose.progress import Reporter
from sharpose.weights import load_weights

SHIPPED = Path(__file__).resolve().parents[1] / "results" / "weights"


def assess(
    *,
    model_name: str,
    options: dict[str, Any],
    annotations: Path | None,
    images: Path | None,
    data: str | None,
    boxes: str,
    weights: str | None,
    flip_test: bool,
    batch_size: int,
    workers: int,
    device: str,
    precision: str,
    backend: str,
    save_results: Path | None,
) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate, write the results file where asked, and return the evaluation with what determines it.

    Raises InputError for anything missing or contradictory, before the first image is read.
    """
    if (data is None) == (annotations is None):
        raise InputError("give either --annotations FILE with --images DIR, or --data NAME")
    check_backend(backend, precision, device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {device}: there is no CUDA device here; use --device cpu")
    model = create_model(model_name, **options)
    digest = load_chosen(model, model_name, weights)
    model = deploy(model, backend, precision=precision)
    path, folder, _ = find_data(data or str(annotations), images)
    config = model.config
    codec = codec_of(config)
    dataset = CocoTopDown(path, folder, image_size=config.image_size, boxes=boxes, warp=codec.warp)
    if dataset.skeleton.num_keypoints != config.num_keypoints:
        raise InputError(
            f"{path}: has {dataset.skeleton.num_keypoints} keypoints and {model_name} predicts {config.num_keypoints}; "
            f"use a model of the same number (--set num_keypoints={dataset.skeleton.num_keypoints}, with its weights)"
        )
    with Reporter(f"Evaluating {model_name}", len(dataset)) as report:
        evaluation = evaluate(
            model,
            dataset,
            codec,
            batch_size=batch_size,
            flip_test=flip_test,
            device=device,
            # another back-end takes and gives fp32, whatever it computes in
            precision=precision if backend == EAGER else "fp32",  # type: ignore[arg-type]
            num_workers=workers,
            progress=report.progress,
        )
    if save_results is not None:
        write_results(evaluation, save_results)
    return evaluation, {
        "model": model_name,
        "options": options,
        "weights_sha256": digest,
        "annotations": str(path),
        "annotations_sha256": sha256_of(path),
        "boxes": boxes,
        "boxes_sha256": None if boxes == "ground-truth" else sha256_of(Path(boxes)),
        "flip_test": flip_test,
        "precision": precision,
        "backend": backend,
        "device": device,
    }


def load_chosen(model: torch.nn.Module, model_name: str, weights: str | None) -> str | None:
    """Load the given weights, or those that ship; returns their sha256, None for random ones."""
    if weights == "random":
        return None
    shipped = SHIPPED / f"{model_name}.safetensors"
    if weights is None and not shipped.exists():
        raise InputError(
            f"no trained weights of {model_name} ship with this repository; give --weights FILE.safetensors, "
            "or --weights random to try the pipeline"
        )
    return load_weights(model, Path(weights) if weights else shipped)


def write_results(evaluation: Evaluation, path: Path) -> None:
    try:
        save_results(evaluation.results, path)
    except OSError as error:
        raise InputError(f"--save-results {path}: cannot be written ({error.strerror})") from error
