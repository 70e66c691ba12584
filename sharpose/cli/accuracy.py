"""Commands that say how right keypoints are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import (
    Backend,
    Category,
    Data,
    Deterministic,
    Device,
    Images,
    Json,
    Model,
    Settings,
    Weights,
    app,
    evaluation_of,
    percent,
    show,
)
from sharpose.cli.listing import TRAIN
from sharpose.runtime.errors import InputError


@app.command(rich_help_panel=TRAIN)
def evaluate(
    model: Model = "",
    data: Data = None,
    images: Images = None,
    boxes: Annotated[str, typer.Option(help="ground-truth, or a detections file.")] = "ground-truth",
    weights: Weights = None,
    settings: Settings = None,
    flip_test: Annotated[bool, typer.Option(help="Average with the mirrored crop.")] = True,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="fp32, bf16, fp16 or int8, as the back-end can.")] = "fp32",
    backend: Backend = "eager",
    nms: Annotated[str, typer.Option(help="hard, soft or none: what becomes of near-duplicates.")] = "hard",
    oks_threshold: Annotated[float, typer.Option(help="OKS above which two detections are near-duplicates.")] = 0.9,
    keypoint_threshold: Annotated[float, typer.Option(help="Keypoints scored above it count in a row's score.")] = 0.2,
    evaluator: Annotated[
        str, typer.Option(help="pycocotools (the judge) or hotcoco: the same numbers, sooner.")
    ] = "pycocotools",
    save_results: Annotated[
        Path | None, typer.Option(help="Where to write the results in COCO's format, or points for `sharpose pckh`.")
    ] = None,
    by_name: Annotated[
        bool, typer.Option("--by-name", help="Match the data's keypoints with the model's by their names.")
    ] = False,
    ground_truth: Annotated[
        Path | None, typer.Option(help="MPII's ground truth (.mat); default: beside the annotations.")
    ] = None,
    category: Category = None,
    onnx: Annotated[
        Path | None, typer.Option(help="In place of --model: a network that gives heatmaps, .onnx or OpenVINO's .xml.")
    ] = None,
    input_size: Annotated[str, typer.Option(help="Of --onnx, HEIGHTxWIDTH; default: as in the graph.")] = "",
    normalise: Annotated[
        str, typer.Option(help="Of --onnx: imagenet, 0-1, 0-255, or means/deviations of pixels / 255.")
    ] = "imagenet",
    channels: Annotated[str, typer.Option(help="Of --onnx: rgb or bgr.")] = "rgb",
    codec: Annotated[str, typer.Option(help="Of --onnx: udp, dark or msra, how it was trained.")] = "udp",
    padding: Annotated[float, typer.Option(help="Of --onnx: the crop's sides over the box's.")] = 1.25,
    output: Annotated[str, typer.Option(help="Of --onnx: the name of the heatmaps, where several fit.")] = "",
    deterministic: Deterministic = False,
    as_json: Json = False,
) -> None:
    """Measure AP and PCK of a model on people of a COCO-format data set, or PCKh on MPII's, with intervals.

    With --onnx another project's network is measured in the same way, on the CPU.

    Example: sharpose evaluate --model sharpose-nano-128x96 --data mannequin2-val --set alpha=.3
    """
    # every option by its own name, before anything else has one here
    options = dict(locals())
    from sharpose.evaluation.evaluate import evaluate
    from sharpose.evaluation.metrics.postprocess import PostProcessing
    from sharpose.inference.heatmap_file import Reading, parse_size

    if (onnx is None) == (not model):
        raise InputError("give either --model NAME, or --onnx FILE for another project's network")
    if onnx is not None and (weights or settings or device != "cpu" or backend != "eager" or precision != "fp32"):
        raise InputError(f"--onnx {onnx}: runs as it is; leave out --weights, --set, --device, --backend, --precision")
    size, checked = parse_size(input_size), dict[str, Any]()
    checked |= {"normalise": normalise, "channels": channels, "codec": codec, "padding": padding}
    reading = Reading(size, output=output or None, **checked)
    if onnx is None and reading != Reading():
        raise InputError("--input-size, --normalise, --channels, --codec, --padding and --output go with --onnx alone")
    if data is None:
        raise InputError("--data: say which people: a named set, a folder, or an annotations file with --images FOLDER")
    rules = PostProcessing(nms, oks_threshold, keypoint_threshold)  # type: ignore[arg-type]
    evaluation, facts = evaluate(evaluation_of(options, file=onnx, reading=reading, post_processing=rules))
    result = {**facts, **evaluation.summary()}
    lines = [
        f"{facts['model']} on {facts['annotations']}: {result['people']} boxes ({facts['boxes']}) on "
        f"{result['images_with_boxes']} of {result['images']} images, {result['annotated_people']} annotated people",
        *score_lines(result),
    ]
    if facts["boxes_ap"] is not None:
        lines.append(f"AP of the boxes themselves: {percent(facts['boxes_ap'])}")
    if result["refine_rate"] is not None:
        lines.append(f"refined: {percent(result['refine_rate'])} % of the people{kept_text(result)}")
    lines += [f"note: {line}" for line in facts["notes"]]
    show(result, as_json, "\n".join(lines))


def kept_text(result: dict[str, Any]) -> str:
    """Return the mean number of refined patches, and its range, as text; empty where no patches are selected."""
    kept = {int(number): people for number, people in (result.get("kept_patches") or {}).items()}
    if not kept:
        return ""
    mean = sum(number * people for number, people in kept.items()) / sum(kept.values())
    several = f" ({min(kept)} to {max(kept)})" if len(kept) > 1 else ""
    return f", {mean:.1f} patches each{several}"


def score_lines(result: dict[str, Any]) -> list[str]:
    """Return AP and its kin, PCK where it was measured; or PCKh by groups of joints."""
    if "pckh" in result:
        groups = [key.removeprefix("pckh_") for key in result if key.startswith("pckh_")]
        groups = [group for group in groups if group not in ("low", "high", "per_joint")]
        interval = f" [{percent(result['pckh_low'])}, {percent(result['pckh_high'])}]"
        return [
            f"PCKh@{threshold} {percent(result[key])}{interval if key == 'pckh' else ''}  "
            + "  ".join(f"{group} {percent(result[f'{key}_{group}'])}" for group in groups)
            for threshold, key in ((".5", "pckh"), (".1", "pckh01"))
        ]
    parts = ("AP50", "ap50"), ("AP75", "ap75"), ("AP_M", "ap_m"), ("AP_L", "ap_l"), ("AR", "ar")
    lines = [
        f"AP {percent(result['ap'])} [{percent(result['ap_low'])}, {percent(result['ap_high'])}]  "
        + "  ".join(f"{name} {percent(result[key])}" for name, key in parts)
    ]
    if "pck" in result:
        measured = f"{result['pck_threshold']} of the {result['pck_measure']}"
        lines.append(
            f"PCK {percent(result['pck'])} [{percent(result['pck_low'])}, {percent(result['pck_high'])}] within "
            f"{measured}, {result['pck_people']} people"
        )
    return lines


@app.command(rich_help_panel=TRAIN)
def pckh(
    ground_truth: Annotated[Path, typer.Option(help="MPII's validation ground truth (.mat).")],
    predictions: Annotated[Path, typer.Option(help=".json, .mat or .h5, people in the order of the truth.")],
    zero_based: Annotated[bool, typer.Option("--zero-based", help="Predictions count pixels from 0.")] = False,
    as_json: Json = False,
) -> None:
    """Measure PCKh at .5 and at .1 on MPII, per joint and mean.

    Example: sharpose pckh --ground-truth mpii_gt_val.mat --predictions predictions.json
    """
    from sharpose.evaluation.metrics.pckh import load_mpii_truth
    from sharpose.evaluation.metrics.pckh import pckh as score
    from sharpose.evaluation.metrics.pckh_files import read_predictions

    truth, points = load_mpii_truth(ground_truth), read_predictions(predictions, zero_based)
    rows: dict[str, Any] = {}
    for threshold in (0.5, 0.1):
        result = score(points, truth, threshold)
        values = {**result.groups, "mean": result.mean}
        rows[f"pckh@{threshold}"] = {name: number(value) for name, value in values.items()}
        rows[f"pckh@{threshold}"]["per_joint"] = [number(value) for value in result.per_joint]
    groups = [name for name in rows["pckh@0.5"] if name != "per_joint"]
    lines = [" " * 10 + "".join(f"{name:>10}" for name in groups)]
    lines += [f"{name:10}" + "".join(f"{column(row[group]):>10}" for group in groups) for name, row in rows.items()]
    show({"people": len(points), **rows}, as_json, "\n".join(lines))


def number(value: float) -> float | None:
    """Return a number, or None for what nobody has, as JSON knows no NaN."""
    return None if math.isnan(value) else float(value)


def column(value: float | None) -> str:
    """Return a score with three digits behind the point; a dash for None."""
    return "–" if value is None else f"{value:.3f}"
