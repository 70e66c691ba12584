"""Commands for a GPU that is at hand for minutes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sharpose.cli.app import Json, app, harness, show
from sharpose.runtime.errors import InputError

gpu_app = typer.Typer(help="What a GPU's few minutes are worth, and what travels there and back.", no_args_is_help=True)
app.add_typer(gpu_app, name="gpu")

Parts = Annotated[Path, typer.Option(help="An empty folder for the parts.")]
PartSize = Annotated[float, typer.Option(min=0.1, help="MiB of a part at most.")]


@gpu_app.command("run")
def run(
    budget: Annotated[str, typer.Option(help="Time to spend in all: 90s, 10m, 1.5h.")] = "10m",
    init: Annotated[
        str | None,
        typer.Option(help="Label-free start of the small models, FILE or timm:NAME; default: that of a parcel."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all that is made; default: runs/gpu.")] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Random weights, without a start.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile transformer blocks of trainings.")] = False,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="The same steps by tiny models on the CPU.")] = False,
    as_json: Json = False,
) -> None:
    """Train small models on photographs, measure speeds, race small systems: in order of worth, until the time is over.

    The same command goes on where the last one stopped. SHARPOSE_PHOTOS names the photographs.

    Example: sharpose gpu run --budget 10m --init vit_small_start.safetensors
    """
    began = time.monotonic()
    # workers are what runs side by side; OpenCV reads this when it is loaded
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    from sharpose.data.photos import photos_folder
    from sharpose.weights.starting import find_start

    gpu, missing = harness("experiments.tools.gpu"), harness("experiments.run.train_missing")
    here = harness("experiments.cells.provenance")
    seconds, packed = missing.parse_duration(budget), photos_folder() / "start.safetensors"
    device = here.local_device("cpu" if rehearse else "cuda")
    start = None if from_scratch or rehearse else find_start(init) if init else packed
    if start is not None and not start.is_file():
        raise InputError(f"{start}: no such start; give --init FILE, or --from-scratch for random weights")
    scale, how = (gpu.REHEARSAL, {}) if rehearse else (gpu.FULL, {"workers": max(2, here.usable_cores() - 2)})
    folder = out or (gpu.OUT.with_name("gpu-rehearsal") if rehearse else gpu.OUT)
    stands = gpu.run(gpu.Work(folder, scale, device, began + seconds, start, compiled, **how))
    show(stands, as_json, "\n".join(f"{name:24} {each['note']}" for name, each in stands.items()))


@gpu_app.command("pack")
def pack(
    out: Parts,
    init: Annotated[
        str | None, typer.Option(help="The start of the small models, FILE or timm:NAME, to travel along.")
    ] = None,
    longest: Annotated[int, typer.Option(min=64, help="The longer side of a picture, in pixels.")] = 288,
    quality: Annotated[int, typer.Option(min=10, max=100, help="Of the JPEG files.")] = 70,
    part_mb: PartSize = 45,
    most: Annotated[int | None, typer.Option(min=1, help="So many pictures of each source; default: all.")] = None,
    as_json: Json = False,
) -> None:
    """Make the parts of a parcel, each of a size that fits a transfer.

    From the photographs to learn from, cut to their people and made small, from those to judge by as they are, and from
    the start.

    Example: sharpose gpu pack --init vit_small_start.safetensors --out parcel
    """
    from sharpose.weights.starting import find_start

    parcels = harness("experiments.tools.parcels")
    packing = parcels.Packing(longest=longest, quality=quality, part_mb=part_mb, most=most)
    sizes = {path.name: path.stat().st_size for path in parcels.pack(out, find_start(init) if init else None, packing)}
    lines = [f"{out / name}  {size / 2**20:.1f} MiB" for name, size in sizes.items()]
    show(sizes, as_json, "\n".join(lines))


@gpu_app.command("unpack")
def unpack(
    parts: Annotated[Path, typer.Argument(help="The folder with all parts and their list.")],
    to: Annotated[Path, typer.Option(help="Where their content goes: what SHARPOSE_PHOTOS then names.")],
    as_json: Json = False,
) -> None:
    """Put the content of parts together, of `pack` or of `collect`.

    Example: sharpose gpu unpack parcel --to photos
    """
    show({"folder": str(harness("experiments.tools.parcels").unpack(parts, to))}, as_json, str(to))


@gpu_app.command("collect")
def collect(
    out: Parts,
    made: Annotated[Path | None, typer.Option(help="The folder of `run`; default: runs/gpu.")] = None,
    limit_mb: Annotated[float, typer.Option(min=1, help="MiB in all.")] = 60,
    part_mb: PartSize = 15,
    as_json: Json = False,
) -> None:
    """Make parts from what has been made and not been sent yet: log, records, manifests, then weights.

    Example: sharpose gpu collect --out $OUT
    """
    gpu, parcels = harness("experiments.tools.gpu"), harness("experiments.tools.parcels")
    folder: Any = made or gpu.OUT
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `sharpose gpu run` makes it")
    left = parcels.collect(folder, out, limit_mb, part_mb)
    show({"left": left}, as_json, f"{out}; left for the next call: {', '.join(left) or 'nothing'}")
