"""Commands that time."""

from __future__ import annotations

from typing import Annotated

import typer

from sharpose.cli.app import Device, Json, Settings, app, parse_settings, show


@app.command()
def bench(
    names: Annotated[list[str], typer.Argument(metavar="MODEL…")],
    batch: Annotated[int, typer.Option(min=1)] = 4,
    settings: Settings = None,
    rounds: Annotated[int, typer.Option(min=1)] = 10,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    device: Device = "cpu",
    threads: Annotated[int | None, typer.Option(min=1)] = None,
    as_json: Json = False,
) -> None:
    """Images per second, all models interleaved in one run, random weights, every person refined.

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
