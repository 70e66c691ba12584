"""An evaluation from names and paths: which weights, people and boxes; and the facts that go with its numbers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sharpose.backends.choice import COMPILED, EAGER, check_backend, split_backend
from sharpose.backends.deploy import deploy
from sharpose.codecs.choice import codec_of
from sharpose.data.annotations import check_layout
from sharpose.data.coco import CocoTopDown
from sharpose.data.locate import find_data
from sharpose.data.mpii import find_truth
from sharpose.data.pictures import unchanged
from sharpose.evaluation.coco import Evaluation, box_facts, save_results, score
from sharpose.evaluation.metrics.evaluators import Evaluator, check_evaluator
from sharpose.evaluation.metrics.pckh import load_mpii_truth
from sharpose.evaluation.metrics.postprocess import PROTOCOL, Cleaning
from sharpose.evaluation.points import PckhEvaluation, pck_summary, score_pck, score_pckh
from sharpose.inference.dataset import Predictions, predict
from sharpose.inference.heatmap_file import HeatmapFile, Reading
from sharpose.models import create_model
from sharpose.pose.skeleton import wanted_layout
from sharpose.runtime.deterministic import make_deterministic
from sharpose.runtime.devices import check_device
from sharpose.runtime.distributed import join
from sharpose.runtime.errors import InputError
from sharpose.runtime.files import check_writable, sha256_of, write_json
from sharpose.runtime.progress import Reporter, note, speaks_for_all
from sharpose.weights.files import load_weights
from sharpose.weights.pretrained import CHECKOUT, find_weights


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
    save_results: Path | None,
    cleaning: Cleaning = PROTOCOL,
    evaluator: Evaluator = "pycocotools",
    backend: str = EAGER,
    deterministic: bool = False,
    by_name: bool = False,
    ground_truth: Path | None = None,
    category: str | None = None,
    file: Path | None = None,
    reading: Reading = Reading(),
) -> tuple[Evaluation | PckhEvaluation, dict[str, Any]]:
    """Evaluate, write the results file where asked, and return the evaluation with what determines it.

    People in MPII's layout are scored by PCKh, against the `ground_truth` given or found beside their annotations;
    others by AP and, in annotated boxes, also by PCK, which is among the facts. `file` is another project's network,
    evaluated as `reading` says in place of a model of ours.

    Raises InputError for anything missing or contradictory, before the first image is read.
    """
    if (data is None) == (annotations is None):
        raise InputError(
            "--data: say once which people: a named set, a folder, or an annotations file with --images FOLDER"
        )
    check_device(device)
    backend, precision = split_backend(backend, precision)
    check_backend(backend, precision, device)
    check_evaluator(evaluator)
    if save_results is not None:
        check_writable(save_results, "--save-results")
    if deterministic:
        make_deterministic()
    join(device)
    model: Any
    if file is not None:
        model = HeatmapFile(file, reading)
        model_name, backend, options = file.name, model.graph.backend, asdict(model.reading)
        digests = model.digests
    else:
        model = create_model(model_name, **options)
        digests = {"weights_sha256": load_chosen(model, model_name, weights)}
        model = deploy(model, backend, precision=precision, batch_size=batch_size, device=device)
    source = find_data(data or str(annotations), images)
    config = model.config
    codec = codec_of(config)
    layout = wanted_layout(config.num_keypoints) if by_name else None
    how: dict[str, Any] = {"image_size": config.image_size, "boxes": boxes, "warp": codec.warp, "by_name": layout}
    how["category"] = category
    how |= {} if file is None else {"padding": reading.padding}
    dataset = CocoTopDown(source.annotations, source.images, **how)
    unlikely = check_layout(dataset.pose_file, model_name, config.num_keypoints)
    for line in unlikely:
        note(f"{source.annotations}: {line}")
    if not dataset.pose_file.annotations:
        raise InputError(
            f"{source.annotations}: nobody is annotated, so nothing can be scored; `sharpose submit` packs results"
        )
    truth_file = truth_of(dataset, ground_truth)
    with unchanged(dataset.pictures) as pictures, Reporter(f"Evaluating {model_name}", len(dataset)) as report:
        predictions = predict(
            model,
            dataset,
            codec,
            batch_size=batch_size,
            flip_test=flip_test,
            device=device,
            # another runtime takes and gives fp32, whatever it computes in
            precision=precision if backend in (EAGER, COMPILED) else "fp32",  # type: ignore[arg-type]
            num_workers=workers,
            progress=report.progress,
        )
    scored, more = scores(predictions, dataset, truth_file, cleaning, evaluator)
    if save_results is not None and speaks_for_all():
        write_results(scored, save_results)
    return scored, {
        "model": model_name,
        "options": options,
        **digests,
        "annotations": str(source.annotations),
        "annotations_sha256": sha256_of(source.annotations),
        "pictures_sha256": pictures,
        "boxes": boxes,
        **box_facts(dataset),
        **asdict(cleaning),
        "evaluator": evaluator,
        "flip_test": flip_test,
        "precision": precision,
        "backend": backend,
        "device": device,
        "by_name": by_name,
        "notes": [*dataset.notes, *unlikely],
        **more,
        "deterministic": deterministic,
    }


def predict_unlabelled(
    model_name: str,
    options: dict[str, Any],
    weights: str | None,
    image_info: Path,
    images: Path,
    boxes: Path,
    *,
    flip_test: bool,
    batch_size: int,
    workers: int,
    device: str,
) -> list[dict[str, Any]]:
    """Results on images whose annotations are withheld, in COCO's format. Raises InputError before the first image."""
    check_device(device)
    model = create_model(model_name, **options)
    load_chosen(model, model_name, weights)
    codec = codec_of(model.config)
    dataset = CocoTopDown(image_info, images, image_size=model.config.image_size, boxes=boxes, warp=codec.warp)
    check_layout(dataset.pose_file, model_name, model.config.num_keypoints)
    run: dict[str, Any] = {"batch_size": batch_size, "flip_test": flip_test, "device": device, "num_workers": workers}
    with Reporter(f"Predicting with {model_name}", len(dataset)) as report:
        return predict(model, dataset, codec, progress=report.progress, **run).results(dataset)


def truth_of(dataset: CocoTopDown, ground_truth: Path | None) -> Path | None:
    """MPII's ground truth for people in MPII's layout, None for others. Raises InputError where it cannot be used."""
    if not dataset.pose_file.is_mpii:
        if ground_truth is not None:
            raise InputError(f"--ground-truth {ground_truth}: only goes with annotations in MPII's layout")
        return None
    if dataset.boxes != "ground-truth":
        raise InputError(f"--boxes {dataset.boxes}: MPII's people are looked at by their annotated centre and scale")
    return ground_truth or find_truth(dataset.annotations)


def scores(
    predictions: Predictions, dataset: CocoTopDown, truth: Path | None, cleaning: Cleaning, evaluator: Evaluator
) -> tuple[Evaluation | PckhEvaluation, dict[str, Any]]:
    """What is measured on a data set, and the facts that go with it."""
    if truth is not None:
        facts = {"ground_truth": str(truth), "ground_truth_sha256": sha256_of(truth)}
        return score_pckh(predictions, dataset, load_mpii_truth(truth)), facts
    evaluation = score(predictions, dataset, cleaning=cleaning, evaluator=evaluator)
    return evaluation, pck_summary(*score_pck(predictions, dataset)) if dataset.boxes == "ground-truth" else {}


def load_chosen(model: torch.nn.Module, model_name: str, weights: str | None) -> str | None:
    """Load the given weights, or those that ship; returns their sha256, None for random ones."""
    if weights == "random":
        return None
    config: Any = getattr(model, "config", None)
    # a gate by gain has a predictor that other weights lack
    gate = "-gain" if getattr(config, "gate", None) == "gain" else ""
    shipped = CHECKOUT / f"{model_name}{gate}.safetensors"
    if weights is None and not shipped.exists():
        shared = CHECKOUT / "shared" / shipped.name
        there = f" ({shared} has those of the budget that all systems share)" if shared.exists() else ""
        raise InputError(
            f"no trained weights of {model_name} ship with this repository; give --weights FILE.safetensors{there}, "
            "or --weights random to try the pipeline"
        )
    return load_weights(model, find_weights(weights).path if weights else shipped)


def write_results(evaluation: Evaluation | PckhEvaluation, path: Path) -> None:
    """COCO's results format, or for MPII the points that `sharpose pckh` reads."""
    try:
        if isinstance(evaluation, PckhEvaluation):
            write_json(path, {"preds": evaluation.points.tolist()})
        else:
            save_results(evaluation.results, path)
    except OSError as error:
        raise InputError(f"--save-results {path}: cannot be written ({error.strerror})") from error
