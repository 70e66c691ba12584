"""The command that makes a file for COCO's evaluation server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Category, Device, Json, Settings, app, parse_settings, show
from sharpose.cli.listing import TRAIN
from sharpose.runtime.errors import InputError


@app.command(rich_help_panel=TRAIN)
def submit(
    name: Annotated[str, typer.Option(help="The algorithm's name, part of the file's.")],
    out: Annotated[Path, typer.Option(help="Folder for the zip file.")],
    image_info: Annotated[Path | None, typer.Option(help="COCO's image_info_test-dev2017.json.")] = None,
    data: Annotated[
        str | None, typer.Option(help="A generated set (mannequin2-test) in its place, which is then scored.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Results in COCO's format, instead of a model.")] = None,
    model: Annotated[str | None, typer.Option(help="A name that `sharpose models` lists.")] = None,
    weights: Annotated[str | None, typer.Option(help="A .safetensors file; `random` to try the pipeline.")] = None,
    settings: Settings = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images (test2017).")] = None,
    boxes: Annotated[Path | None, typer.Option(help="A detections file of these images.")] = None,
    flip_test: Annotated[bool, typer.Option(help="Average with the mirrored crop.")] = True,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    workers: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "cpu",
    category: Category = None,
    as_json: Json = False,
) -> None:
    """Pack results on COCO test-dev for the evaluation server, by its naming, checked before anything is written.

    With --data, generated people are predicted without their annotations, which are opened to score the file.

    Example: sharpose submit --results FILE --image-info image_info_test-dev2017.json --name mine --out upload
    """
    from sharpose.data.annotations import load_pose_file
    from sharpose.evaluation.metrics.coco_ap import load_results
    from sharpose.evaluation.submission import split_of, write_submission

    if (image_info is None) == (data is None):
        raise InputError("give either --image-info FILE, or --data NAME, a generated set")
    asked: dict[str, Any] = {"flip_test": flip_test, "batch_size": batch_size, "workers": workers, "device": device}
    asked |= {"model": model or "", "options": parse_settings(settings), "weights": weights}
    if data is not None:
        if results is not None or model is None:
            raise InputError("--data needs --model NAME: its people are predicted without their annotations")
        submit_blind(data, name, out, asked, as_json)
        return
    assert image_info is not None
    split_of(image_info)
    if (results is None) == (model is None):
        raise InputError("give either --results FILE, or --model NAME with --images DIR and --boxes FILE")
    if results is not None:
        rows = load_results(results)
    elif images is None or boxes is None:
        raise InputError("--model needs --images DIR and --boxes FILE: there are no annotated people on these images")
    else:
        from sharpose.evaluation.evaluate import predict_unlabelled
        from sharpose.evaluation.request import EvaluationRequest, People

        people = People(data=str(image_info), images=images, boxes=str(boxes), category=category)
        rows = predict_unlabelled(EvaluationRequest(people=people, **asked))
    made = write_submission(rows, load_pose_file(image_info), name, out)
    lines = [f"{made.path}: {made.results} results, {made.images_without_results} of {made.images} images without any"]
    if made.images_beyond_counted:
        lines.append(f"{made.images_beyond_counted} images have more than the 20 results that count")
    show(vars(made), as_json, "\n".join(lines))


def submit_blind(data: str, name: str, out: Path, asked: dict[str, Any], as_json: bool) -> None:
    """Make a submission on a generated set, and score it."""
    from sharpose.data.cache import ensure_named
    from sharpose.evaluation.blind import judge_blind, split_name
    from sharpose.evaluation.evaluate import predict_unlabelled
    from sharpose.evaluation.request import EvaluationRequest, People
    from sharpose.models.registry import resolve_config

    made = ensure_named(data)
    boxes = str(made.detections_file)

    def rows(info: Path) -> list[dict[str, Any]]:
        people = People(data=str(info), images=made.images_folder, boxes=boxes)
        return predict_unlabelled(EvaluationRequest(people=people, **asked))

    judged = judge_blind(
        rows,
        made.annotations_file,
        made.images_folder,
        made.detections_file,
        split=split_name(data, made.parameters.version),
        algorithm=name,
        image_size=resolve_config(asked["model"], **asked["options"]).image_size,
        folder=out,
    )
    summary = judged.evaluation.summary()
    interval = f"[{100 * summary['ap_low']:.1f}, {100 * summary['ap_high']:.1f}]" if summary["ap_low"] else ""
    lines = [
        f"{judged.submission.path}: {judged.submission.results} results, made without annotations",
        f"scored from that file: AP {100 * summary['ap']:.1f} {interval}, {summary['annotated_people']:,} people",
    ]
    show({"submission": vars(judged.submission), **summary}, as_json, "\n".join(lines))
