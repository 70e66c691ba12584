"""Commands for those who want keypoints: of their own pictures, and their own weights for others."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sharpose.cli.app import Backend, Json, Settings, Weights, app, parse_settings, show
from sharpose.cli.listing import USE
from sharpose.runtime.errors import InputError, RunFailed

if TYPE_CHECKING:
    from sharpose.inference.drawing import Style
    from sharpose.inference.pictures import Source, Summary
    from sharpose.inference.pose import Pose

MANY = 10
"""Lines about single people, and names of pictures, are printed up to here."""


@app.command(rich_help_panel=USE)
def predict(
    inputs: Annotated[list[str], typer.Argument(metavar="IMAGE|VIDEO|FOLDER|URL|CAMERA…")],
    model: Annotated[str, typer.Option(help="A model that `sharpose models` lists, or its weights; see below.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for keypoints.json and the drawings.")] = Path("poses"),
    weights: Weights = None,
    boxes: Annotated[
        Path | None, typer.Option(help="JSON list of {file_name or image_id, bbox, score}: look there.")
    ] = None,
    whole_picture: Annotated[
        bool, typer.Option("--whole-picture", help="One person each, without looking for them.")
    ] = False,
    detector: Annotated[
        str, typer.Option(help="Another detector of torchvision, e.g. fasterrcnn_resnet50_fpn_v2.")
    ] = "",
    detector_weights: Annotated[
        Path | None, typer.Option(help="Its weights, a .pth or .safetensors file; default: torchvision fetches them.")
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="People that it scores below are not taken.")] = 0.5,
    max_people: Annotated[int, typer.Option(min=1, help="The best so many of a picture are taken.")] = 30,
    draw: Annotated[bool, typer.Option(help="Draw pictures and videos.")] = True,
    shown: Annotated[
        str, typer.Option("--show", metavar="WHAT,…", help="Draw boxes, patches (refined ones), quality, too.")
    ] = "",
    keypoint_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Keypoints scored at or below it are not drawn.")
    ] = 0.2,
    track: Annotated[bool, typer.Option("--track", help="Videos: number people, the same one in every frame.")] = False,
    smooth: Annotated[bool, typer.Option("--smooth", help="Videos: filter trembling; numbers people, too.")] = False,
    settings: Settings = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32; with packed and openvino also bf16, with onnxruntime int8.")
    ] = "fp32",
    backend: Backend = "",
    as_json: Json = False,
) -> None:
    """Find keypoints of the people in pictures and videos: JSON in COCO's results format, and drawings.

    Without --model it is that of --weights, or the default of this version. People are found by torchvision's detector,
    which is fetched once; without a network give --boxes, --detector-weights, or --whole-picture. Weights are found by
    name: with the package, in a checkout, in ~/.cache/sharpose/weights, or in a hub repository (hub:OWNER/NAME,
    SHARPOSE_HUB).

    Without --backend it is packed on a CPU where torch can do that, and eager elsewhere: the same up to rounding.

    What cannot be used (broken pictures and videos, boxes without area or outside) is listed and the rest is done; then
    the exit code is 1, or 2 where nothing could be used. Ctrl-C keeps what was done (130), and ends a camera well.

    Example: sharpose predict photo.jpg

    Example: sharpose predict holidays clip.mp4 --out poses --show patches,quality --track
    """
    from sharpose.inference.detector import DEFAULT_DETECTOR, PersonDetector
    from sharpose.inference.drawing import Style
    from sharpose.inference.pictures import find_inputs
    from sharpose.inference.pose import Pose, chosen_device

    device = chosen_device(device)
    style = Style(keypoint_threshold, [name.strip() for name in shown.split(",") if name.strip()])
    pictures, videos = find_inputs(inputs)
    if boxes is not None and (videos or detector or whole_picture):
        raise InputError(f"--boxes {boxes}: goes neither with videos nor with --detector or --whole-picture")
    if whole_picture and (detector or detector_weights):
        raise InputError("--whole-picture looks for nobody, so it does not go with --detector")
    if (track or smooth) and not videos:
        raise InputError("--track and --smooth are for videos, and there is none")
    if detector_weights and not detector:
        raise InputError("--detector-weights FILE needs --detector NAME, whose weights they are")
    how: dict[str, Any] = {"weights": weights, "device": device, "backend": backend, "precision": precision}
    pose = Pose(model or None, whole_picture=whole_picture, **how, **parse_settings(settings))
    # a file of boxes comes without a detector; the others fail before the first picture
    if boxes is None and not whole_picture:
        how = {"device": device, "min_score": min_score, "max_people": max_people}
        pose.find = PersonDetector(detector or DEFAULT_DETECTOR, detector_weights, **how)
    jobs = [
        *jobs_of_pictures(pose, pictures, out, boxes),
        *jobs_of_videos(pose, videos, out, track=track, smooth=smooth),
    ]
    done, unusable = work_through(jobs, out, style=style, drawings=draw)
    source = str(boxes or detector or ("the whole picture, one person each" if whole_picture else DEFAULT_DETECTOR))
    content = [{**vars(one), "boxes": source} for one in done]
    show(content, as_json, "\n".join([*result_lines(done, style, draw), *machine_lines(pose, source)]))
    if pose.warning:
        print(f"warning: {pose.warning}", file=sys.stderr)
    skipped = [*map(str, unusable), *(line for one in done for line in one.skipped)]
    if skipped:
        raise RunFailed(f"{len(skipped)} left out: {'; '.join(skipped)}")


class Job(NamedTuple):
    """Pictures, or a video: what progress calls it and counts, what it fills while it runs, and its call."""

    title: str
    length: int
    summary: Summary
    call: Callable[..., Summary]


def jobs_of_pictures(pose: Pose, pictures: Sequence[Path], out: Path, boxes: Path | None) -> Iterator[Job]:
    """Yield one job for all pictures, where there are any."""
    from sharpose.inference.pictures import Summary, predict_pictures

    if pictures:
        call = partial(predict_pictures, pose, pictures, out, boxes=boxes)
        yield Job("Predicting", len(pictures), Summary(out / "keypoints.json"), call)


def jobs_of_videos(pose: Pose, videos: Sequence[Source], out: Path, **how: Any) -> Iterator[Job]:
    """Yield a job per video or camera."""
    if not videos:
        return
    from sharpose.inference.pictures import Summary
    from sharpose.inference.video import predict_video
    from sharpose.runtime.files import distinct_names

    names = distinct_names([Path(f"camera-{one}" if isinstance(one, int) else one) for one in videos])
    for video, name in zip(videos, names, strict=True):
        call = partial(predict_video, pose, video, out, name=name, **how)
        yield Job(f"Predicting {name}", 1, Summary(out / f"{name}.keypoints.json"), call)


def work_through(jobs: Sequence[Job], out: Path, **how: Any) -> tuple[list[Summary], list[InputError]]:
    """Return what every job found, and why others could not be used.

    Raises the first reason where none could, and RunFailed, which says what is kept, when interrupted or the disk of
    `out` is full.
    """
    from sharpose.runtime.files import is_full
    from sharpose.runtime.progress import Reporter
    from sharpose.runtime.signals import StopOnSignal

    done: list[Summary] = []
    unusable: list[InputError] = []
    for title, length, summary, call in jobs:
        try:
            with Reporter(title, length) as report:
                done.append(call(summary=summary, progress=report.progress, **how))
        except InputError as error:
            unusable.append(error)
        except KeyboardInterrupt:
            stopped = RunFailed(f"interrupted; {kept([*done, summary])}")
            asked = StopOnSignal.innermost and StopOnSignal.innermost.asked
            stopped.exit_code = 128 + (asked or signal.SIGINT)
            raise stopped from None
        except OSError as error:
            if not is_full(error):
                raise
            raise RunFailed(f"{error.filename or out}: {error.strerror}; {kept([*done, summary])}") from error
    if not done:
        raise unusable[0]
    return done, unusable


def kept(summaries: list[Summary]) -> str:
    """Return what is on disk after an early end."""
    files = [f"{one.path} ({one.pictures} pictures, {len(one.rows)} people)" for one in summaries if one.pictures]
    return f"kept: {', '.join(files)}" if files else "nothing was done yet"


def result_lines(summaries: list[Summary], style: Style, drawn: bool) -> Iterator[str]:
    """Yield who was found where, and what of it is not in the drawings."""
    for one in summaries:
        yield f"{one.path}: {len(one.rows)} people, {len(one.drawings)} drawn"
        yield from one.notes
        of_pictures = [row for row in one.rows if "frame" not in row]
        yield from map(person_line, of_pictures[:MANY])
        if len(of_pictures) > MANY:
            yield f"  and {len(of_pictures) - MANY} more people, in the file"
        if one.empty:
            named = ", ".join(one.empty[:MANY]) + (" …" if len(one.empty) > MANY else "")
            yield f"nobody found in {len(one.empty)} of {one.pictures}: {named}"
        if drawn and one.undrawn_keypoints:
            people = f"; of {one.undrawn_people} people nothing at all" if one.undrawn_people else ""
            yield f"not drawn: {one.undrawn_keypoints} keypoints scored {style.threshold:g} or less{people}"


def person_line(row: dict[str, Any]) -> str:
    """Return one person of a picture, in a line."""
    x, y, width, height = (round(value) for value in row["bbox"])
    looks = {True: ", refined", False: ", early exit", None: ""}[row["refined"]]
    quality = "" if row["quality"] is None else f", quality {row['quality']:.2f}"
    return f"  {row['file_name']}: {width}x{height} at {x},{y}, score {row['score']:.2f}{quality}{looks}"


def machine_lines(pose: Pose, source: str) -> Iterator[str]:
    """Yield where boxes and weights came from, and how long it took."""
    yield f"boxes: {source}"
    yield f"weights: {pose.weights.name if pose.weights else 'random'}, {pose.device}, {pose.backend}"
    yield pose.spent.line


@app.command(rich_help_panel=USE)
def push(
    weights: Annotated[str, typer.Argument(help="A .safetensors file with its manifest, or a name of weights.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The hub repository; made where it is new.")],
    results: Annotated[
        list[Path] | None, typer.Option(help="What `sharpose evaluate --json` printed, for the card; may be repeated.")
    ] = None,
    license_: Annotated[str, typer.Option("--license", help="Under which others may use them.")] = "apache-2.0",
    bits: Annotated[int, typer.Option(help="16, or 8: weights of layers in 8 bits, half the size.")] = 16,
    private: Annotated[bool, typer.Option("--private", help="A repository that only you see.")] = False,
    dry_run: Annotated[Path | None, typer.Option(help="Write what would be uploaded into this new folder.")] = None,
    as_json: Json = False,
) -> None:
    """Push your own weights to a hub repository, with a model card; others load them as hub:OWNER/NAME.

    Example: sharpose push runs/mine/vitpose-small-256x192.safetensors me/vitpose-small --dry-run card
    """
    from sharpose.weights.publishing import push_weights

    facts = push_weights(weights, repository, results or [], license_, bits=bits, private=private, dry_run=dry_run)
    show(facts, as_json, f"{facts['where']}: {', '.join(facts['files'])}")
