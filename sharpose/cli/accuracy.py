"""Commands that find keypoints, and say how right they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Backend, Device, Json, Model, Settings, Weights, app, parse_settings, show
from sharpose.errors import InputError, RunFailed


@app.command()
def evaluate(
    model: Model,
    annotations: Annotated[Path | None, typer.Option(help="COCO-format keypoint annotations.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images.")] = None,
    data: Annotated[str | None, typer.Option(help="A generated set instead, e.g. mannequin-val.")] = None,
    boxes: Annotated[str, typer.Option(help="ground-truth, or a detections file.")] = "ground-truth",
    weights: Weights = None,
    settings: Settings = None,
    flip_test: Annotated[bool, typer.Option(help="Average with the mirrored crop.")] = True,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16 or int8, as the back-end can.")] = "fp32",
    backend: Backend = "eager",
    save_results: Annotated[Path | None, typer.Option(help="Where to write the results in COCO's format.")] = None,
    as_json: Json = False,
) -> None:
    """Average precision of a model on people of a COCO-format data set, with a bootstrap interval.

    Example: sharpose evaluate --model sharpose-nano-128x96 --data mannequin-val --set alpha=.3
    """
    from sharpose.assess import assess

    evaluation, facts = assess(
        model_name=model,
        options=parse_settings(settings),
        annotations=annotations,
        images=images,
        data=data,
        boxes=boxes,
        weights=weights,
        flip_test=flip_test,
        batch_size=batch_size,
        workers=workers,
        device=device,
        precision=precision,
        backend=backend,
        save_results=save_results,
    )
    summary = evaluation.summary()

    def percent(key: str) -> str:
        return "–" if summary[key] is None else f"{100 * summary[key]:.1f}"  # type: ignore[operator]

    scores = ("AP50", "ap50"), ("AP75", "ap75"), ("AP_M", "ap_m"), ("AP_L", "ap_l"), ("AR", "ar")
    lines = [
        f"{model} on {facts['annotations']}: {summary['people']} boxes ({facts['boxes']}) on "
        f"{summary['images_with_boxes']} of {summary['images']} images, {summary['annotated_people']} annotated people",
        f"AP {percent('ap')} [{percent('ap_low')}, {percent('ap_high')}]  "
        + "  ".join(f"{name} {percent(key)}" for name, key in scores),
    ]
    if summary["refine_rate"] is not None:
        lines.append(f"refined: {percent('refine_rate')} % of the people")
    show({**facts, **summary}, as_json, "\n".join(lines))


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER…")],
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder for keypoints.json and the drawings.")],
    weights: Weights = None,
    boxes: Annotated[
        Path | None, typer.Option(help="JSON list of {file_name or image_id, bbox, score}; default: whole images.")
    ] = None,
    settings: Settings = None,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="fp32; with openvino also bf16, with onnxruntime int8.")] = "fp32",
    backend: Backend = "eager",
    as_json: Json = False,
) -> None:
    """Keypoints of the people in pictures: JSON in COCO's results format, and drawings.

    What cannot be used (broken pictures, boxes without area or outside) is listed; then the exit code is 1.

    Example: sharpose predict photos --model sharpose-nano-128x96 --out poses
    """
    from sharpose.assess import load_chosen
    from sharpose.backends.choice import EAGER, check_backend
    from sharpose.backends.deploy import deploy
    from sharpose.models import create_model
    from sharpose.predict import find_pictures, predict_pictures
    from sharpose.progress import Reporter

    check_backend(backend, precision, device)
    if backend == EAGER and precision != "fp32":
        raise InputError(f"--precision {precision!r} does not work: predicting with torch is in fp32")
    pictures = find_pictures(inputs)
    network = create_model(model, **parse_settings(settings))
    load_chosen(network, model, weights)
    network = deploy(network, backend, precision=precision)
    with Reporter("Predicting", len(pictures)) as report:
        summary = predict_pictures(network, pictures, out, boxes=boxes, device=device, progress=report.progress)
    show(vars(summary), as_json, f"{summary.path}: {len(summary.rows)} people in {len(summary.drawings)} pictures")
    if summary.skipped:
        raise RunFailed(f"{len(summary.skipped)} left out: {'; '.join(summary.skipped)}")


@app.command()
def pckh(
    ground_truth: Annotated[Path, typer.Option(help="MPII's validation ground truth (.mat).")],
    predictions: Annotated[Path, typer.Option(help=".json, .mat or .h5, people in the order of the truth.")],
    zero_based: Annotated[bool, typer.Option("--zero-based", help="Predictions count pixels from 0.")] = False,
    as_json: Json = False,
) -> None:
    """PCKh at .5 and at .1 on MPII, per joint and mean.

    Example: sharpose pckh --ground-truth mpii_gt_val.mat --predictions predictions.json
    """
    from sharpose.metrics.pckh import load_mpii_truth
    from sharpose.metrics.pckh import pckh as score
    from sharpose.metrics.pckh_files import read_predictions

    truth, points = load_mpii_truth(ground_truth), read_predictions(predictions, zero_based)
    rows: dict[str, Any] = {}
    for threshold in (0.5, 0.1):
        result = score(points, truth, threshold)
        per_joint = [None if value != value else float(value) for value in result.per_joint]
        rows[f"pckh@{threshold}"] = {**result.groups, "mean": result.mean, "per_joint": per_joint}
    groups = [name for name in rows["pckh@0.5"] if name != "per_joint"]
    lines = [" " * 10 + "".join(f"{name:>10}" for name in groups)]
    lines += [f"{name:10}" + "".join(f"{row[group]:10.3f}" for group in groups) for name, row in rows.items()]
    show({"people": len(points), **rows}, as_json, "\n".join(lines))
