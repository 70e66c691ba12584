"""Commands that make and check data sets."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import PEOPLE, Category, Json, data_app, named, show


@data_app.command()
def mannequin(
    out: Annotated[Path | None, typer.Option(help="A new folder; default: the cache, under the set's name.")] = None,
    name: Annotated[
        str | None, typer.Option(help="A named set, e.g. mannequin2-val; the options below are its.")
    ] = None,
    version: Annotated[
        int, typer.Option(help="Of the generator. 1: upright, apart; 2: every view and posture, covered, textured.")
    ] = 1,
    split: str = "train",
    images: Annotated[int, typer.Option(min=1)] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    difficulty: Annotated[float | None, typer.Option(help="0 (plain; of version 1 frontal) to 1 (hard).")] = None,
    min_people: int | None = None,
    max_people: int | None = None,
    min_height: float | None = None,
    max_height: float | None = None,
    crowd_probability: float | None = None,
    jpeg_quality: int | None = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; the files do not depend on it.")] = None,
    as_json: Json = False,
) -> None:
    """Generate people in COCO's format: images, annotations, detections and a manifest.

    Example: sharpose data mannequin --out people --split val --images 50 --seed 7
    """
    # every option by its own name, before anything else has one here
    options = dict(locals())
    from sharpose.data.cache import MannequinSet, ensure, named_set
    from sharpose.data.mannequin import PARAMETERS
    from sharpose.data.mannequin.generate import generate
    from sharpose.runtime.errors import InputError
    from sharpose.runtime.progress import Reporter

    if version not in PARAMETERS:
        raise InputError(f"--version {version}: there are versions {', '.join(map(str, PARAMETERS))} of the generator")
    kind = PARAMETERS[version]
    parameters = kind(**{key: value for key, value in named(kind, options).items() if value is not None})
    wanted = named_set(name) if name else MannequinSet(split, images, seed, parameters)
    folder = out or wanted.folder
    with Reporter("Generating people", wanted.images) as report:
        if out is None:
            ensure(wanted, workers=workers, progress=report.progress)
        else:
            generate(out, **wanted.request, workers=workers, progress=report.progress)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    counts = ", ".join(f"{count} {what}" for what, count in manifest["counts"].items())
    show({"folder": str(folder), **manifest}, as_json, f"{folder}: {counts}")


@data_app.command()
def describe(
    data: Annotated[
        list[str], typer.Argument(help="Named sets (mannequin2-val), files in COCO's or MPII's layout, or folders.")
    ],
    as_json: Json = False,
) -> None:
    """Say how hard the people of keypoint files are: views, tilts, hidden joints, overlaps, sizes.

    Example: sharpose data describe mannequin2-val person_keypoints_val2017.json
    """
    from dataclasses import replace

    from sharpose.data.describe import describe, table
    from sharpose.data.locate import annotations_of

    files = [annotations_of(name) for name in data]
    found = [replace(describe(path), name=name) for path, name in zip(files, data, strict=True)]
    show([one.facts() for one in found], as_json, table(found))


@data_app.command()
def doctor(
    data: Annotated[str, typer.Argument(metavar="DATA", help=PEOPLE)],
    images: Annotated[Path | None, typer.Option(help="Folder of the images; every one is decoded.")] = None,
    detections: Annotated[Path | None, typer.Option(help="A detections file that should belong to them.")] = None,
    category: Category = None,
    as_json: Json = False,
) -> None:
    """Look a data set over before hours are lost; exit code 1 when something is wrong.

    It reads as training and evaluation do: healthy means accepted, with nobody left out against the file's own words.

    \b
    What the other commands do with it:
      broken or missing picture,    train, evaluate and submit stop and name it; predict lists
      over 100 megapixels           it and does the rest
      CMYK, grey, 16-bit picture    becomes RGB, 16-bit grey divided by 257, 16-bit colours cut to 8
      EXIF rotation                 not applied, as annotations and boxes count stored pixels, and
                                    noted; predict applies it where it is given no boxes
      long texts in a PNG           do not matter
      annotated box without area,   train and evaluate leave the person out
      negative, outside the image
      detected box without area     evaluate and submit look at it, as COCO's protocol does;
      or outside the image          predict lists it and does the rest
      negative detected box         evaluate and submit stop and name the row; predict lists it
      box beyond a border           cut there
      text where a number belongs,  every command stops and names the field or line
      NaN, file cut in half
      num_keypoints                 follows from the keypoints (v above 0), and is noted where it differs
      area 0 or none                the box's is taken, and noted
      coordinates as shares         every command stops
      names of keypoints            left and right, sigmas and --by-name in any spelling (L_eye, "left
                                    eye"); a side without its partner stops every command, unless
                                    categories[].flip_pairs names the pairs
      several keypoint categories   person, or the one that --category names; others are counted
      pipe or device                refused
      weights with code in them     refused; nothing in them is executed
      weights that are not finite   refused, and the tensor is named

    Example: sharpose data doctor person_keypoints_val2017.json --images val2017
    """  # noqa: D301, as click takes the backspace itself for a paragraph not to be wrapped
    from sharpose.data.doctor import examine
    from sharpose.data.locate import find_data, is_file
    from sharpose.runtime.progress import Reporter

    source = None if is_file(data) else find_data(data, images)
    annotations, pictures = (Path(data), images) if source is None else (source.annotations, source.images)
    with Reporter("Looking at images", 1) as report:
        found = examine(annotations, pictures, detections, report.progress, category)
    facts = {name: getattr(found, name) for name in ("healthy", "counts", "faults", "remarks")}
    show(facts, as_json, "\n".join(found.lines))
    if not found.healthy:
        raise typer.Exit(1)


@data_app.command()
def coco(
    out: Annotated[Path, typer.Option(help="The COCO folder, as --coco and SHARPOSE_COCO want it.")] = Path("coco"),
    parts: Annotated[
        list[str] | None, typer.Option("--part", help="annotations, val, train, test-info or test; may be repeated.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Download, check and unpack; else only explain.")] = False,
    base_url: Annotated[str | None, typer.Option(help="A mirror of COCO's own site.")] = None,
    as_json: Json = False,
) -> None:
    """Explain the official files of COCO 2017 or fetch them; a download that broke off goes on where it stopped.

    Example: sharpose data coco --out coco --part annotations --part val --fetch
    """
    from sharpose.data.coco_files import OFFICIAL, PARTS, explain, fetch_part, known_part, state
    from sharpose.runtime.progress import Reporter

    chosen = parts or (["annotations", "val"] if fetch else list(PARTS))
    for name in chosen:
        known_part(name)
    for name in chosen if fetch else ():
        with Reporter(f"Fetching {name} (MB)", math.ceil(PARTS[name].size / 1e6)) as report:

            def megabytes(done: int, total: int, report: Reporter = report) -> None:
                report.progress(math.ceil(done / 1e6), math.ceil(total / 1e6))

            fetch_part(name, out, base_url or OFFICIAL, megabytes)
    rows = {
        name: {"size": PARTS[name].size, "sha256": PARTS[name].sha256, "state": state(PARTS[name], out)}
        for name in chosen
    }
    lines = explain(out, chosen)
    if not fetch:
        lines.append("With --fetch, the parts named by --part (default: annotations and val) are downloaded to --out.")
    show({"folder": str(out), "parts": rows}, as_json, "\n".join(lines))
