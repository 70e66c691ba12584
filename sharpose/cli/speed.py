"""Commands that time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpose.cli.app import Device, Json, Settings, app, harness, parse_settings, show


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL…")],
    batch: Annotated[int, typer.Option(min=1)] = 4,
    settings: Settings = None,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile; on a GPU with CUDA graphs.")] = False,
    refine_rate: Annotated[
        float | None, typer.Option(help="Stream batches, this share of whose people is refined; default: all are.")
    ] = None,
    device: Device = "cpu",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    as_json: Json = False,
) -> None:
    """Images per second, all models interleaved in one run, random weights.

    Example: sharpose bench sharpose-small-256x192 sharpose-base-256x192 --batch 4
    """
    from sharpose.models.registry import resolve_config

    options = {"quality_threshold": None, **parse_settings(settings)}
    for name in names:
        resolve_config(name, **options)
    from sharpose.efficiency.throughput import measure_throughput
    from sharpose.progress import Reporter

    with Reporter("Timing", rounds) as report:
        results = measure_throughput(
            {name: (name, options) for name in names},
            batch_size=batch,
            precision=precision,
            mode="compiled" if compiled else "eager",
            refine_rate=refine_rate,
            device=device,
            rounds=rounds,
            threads=threads,
            progress=report.progress,
        )
    first = results[names[0]]["images_per_s"]
    lines = [
        f"{name:24} {row['images_per_s']:8.2f} images/s  {row['images_per_s'] / first:5.2f}×  "
        f"p50 {row['latency_ms_p50']:.1f} ms  p90 {row['latency_ms_p90']:.1f} ms  "
        f"CPU {row['cpu_s_per_image']:.3f} s/image{'  (noisy)' if row['noisy'] else ''}"
        for name, row in results.items()
    ]
    show(results, as_json, "\n".join(lines))


@app.command("bench-data")
def bench_data(
    data: Annotated[str, typer.Argument(help="A generated set (mannequin-val), or a COCO annotations file.")],
    model: Annotated[str, typer.Option("--model", help="Whose crops, and whose need.")] = "sharpose-base-256x192",
    images: Annotated[Path | None, typer.Option(help="Folder of images, with an annotations file.")] = None,
    crops: Annotated[int, typer.Option(min=1, help="How many are timed.")] = 200,
    cores: Annotated[int, typer.Option(min=1, help="Cores that prepare crops.")] = 16,
    tflops: Annotated[float, typer.Option(min=0.001, help="The accelerator's rate; 989: H100, bf16, dense.")] = 989.0,
    utilisation: Annotated[float, typer.Option(min=0.01, max=1, help="The share of it that training reaches.")] = 0.4,
    as_json: Json = False,
) -> None:
    """CPU time per augmented crop, measured, against what training would use up on an accelerator, calculated.

    Example: sharpose bench-data mannequin-val --model sharpose-base-256x192 --cores 16
    """
    from sharpose.models.registry import describe, resolve_config

    config = resolve_config(model)
    described = describe(config)
    macs = harness("analysis.closed_forms").executed(described["system"], described).macs
    from sharpose.codecs.choice import codec_of
    from sharpose.data.augment import Augmentation
    from sharpose.data.coco import CocoTopDown
    from sharpose.data.locate import find_data
    from sharpose.efficiency.loading import crops_needed, measure_loading

    annotations, folder, _ = find_data(data, images)
    size, warp = config.image_size, codec_of(config).warp
    people = CocoTopDown(annotations, folder, image_size=size, augmentation=Augmentation(), warp=warp)
    measured = measure_loading(people, crops)
    need = crops_needed(macs, tflops, utilisation)
    supply = {key: cores * measured[key] for key in ("crops_per_s_per_core", "crops_per_s_per_core_preloaded")}
    lines = [
        f"{measured['crop_ms']:.2f} ms of CPU per crop of {size[0]}x{size[1]} (median of {crops}): "
        f"decoding {measured['decode_ms']:.2f}, everything else {measured['warp_ms']:.2f}",
        f"{cores} cores like this one: {supply['crops_per_s_per_core']:.0f} crops/s, "
        f"{supply['crops_per_s_per_core_preloaded']:.0f} with photographs decoded once (--preload)",
        f"{model} would use up {need:.0f} crops/s (calculated: {macs / 1e9:.2f} G multiply-adds forward, three times "
        f"that for a step, {utilisation:.0%} of {tflops:g} TFLOP/s)",
    ]
    facts = {**measured, "cores": cores, "macs": macs, "tflops": tflops, "utilisation": utilisation}
    show({"model": model, "data": data, **facts, "crops_per_s_needed": need}, as_json, "\n".join(lines))
