"""The command that makes a file for COCO's evaluation server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import Device, Json, Settings, app, parse_settings, show
from sharpose.cli.listing import TRAIN
from sharpose.runtime.errors import InputError


@app.command(rich_help_panel=TRAIN)
def submit(
    image_info: Annotated[Path, typer.Option(help="COCO's image_info_test-dev2017.json.")],
    name: Annotated[str, typer.Option(help="The algorithm's name, part of the file's.")],
    out: Annotated[Path, typer.Option(help="Folder for the zip file.")],
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
    as_json: Json = False,
) -> None:
    """Pack results on COCO test-dev for the evaluation server, by its naming, checked before anything is written.

    Example: sharpose submit --results FILE --image-info image_info_test-dev2017.json --name mine --out upload
    """
    from sharpose.data.annotations import load_pose_file
    from sharpose.evaluation.metrics.coco_ap import load_results
    from sharpose.evaluation.submission import split_of, write_submission

    split_of(image_info)
    if (results is None) == (model is None):
        raise InputError("give either --results FILE, or --model NAME with --images DIR and --boxes FILE")
    if results is not None:
        rows = load_results(results)
    elif images is None or boxes is None:
        raise InputError("--model needs --images DIR and --boxes FILE: there are no annotated people on these images")
    else:
        from sharpose.evaluation.evaluate import predict_unlabelled

        rows = predict_unlabelled(
            str(model),
            parse_settings(settings),
            weights,
            image_info,
            images,
            boxes,
            flip_test=flip_test,
            batch_size=batch_size,
            workers=workers,
            device=device,
        )
    made = write_submission(rows, load_pose_file(image_info), name, out)
    lines = [f"{made.path}: {made.results} results, {made.images_without_results} of {made.images} images without any"]
    if made.images_beyond_counted:
        lines.append(f"{made.images_beyond_counted} images have more than the 20 results that count")
    show(vars(made), as_json, "\n".join(lines))
