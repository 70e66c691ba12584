"""How fast models are: all variants interleaved in one run, every sample kept.

Scope "model": normalised input tensor on the device to heatmaps on the device. Ratios between variants of one run mean
more than images per second, so every round times every variant once, in random order.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sharpose.compiled import compile_model, graphs_compiled
from sharpose.errors import InputError
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.models.sharpose import SHaRPose
from sharpose.streaming import stream

NOISY_SPREAD = 0.25
"""Half of the samples of a variant lie within this share of its median, or the variant is marked noisy."""

STREAMED = 4
"""Batches in one timed call, where some of their instances are refined."""

MODES = ("eager", "compiled")

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Sample(NamedTuple):
    """One timed call: wall and process CPU time in seconds."""

    wall_s: float
    cpu_s: float


def measure_throughput(
    variants: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    batch_size: int | Mapping[str, int],
    refine_rate: float | Mapping[str, float | None] | None = None,
    precision: str = "fp32",
    mode: str = "eager",
    device: str = "cpu",
    rounds: int = 10,
    warmup: int = 2,
    threads: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Metrics of every variant (label: model name and options), measured round by round in random order.

    Weights are random: speed does not depend on them where no instance exits early, which the options have to say.
    batch_size and refine_rate are of all, or by label. With mode "compiled", every graph is compiled before the first
    round, and `graphs_compiled_while_timed` says whether one more was. With a refine rate, models with an early exit
    refine that share of STREAMED batches, gathered by `sharpose.streaming`; others run them one by one. Raises
    InputError for a device, precision or mode that is not to be had, rounds below 1, or a rate that is no share.
    """
    batches = batch_size if isinstance(batch_size, Mapping) else dict.fromkeys(variants, batch_size)
    rates = refine_rate if isinstance(refine_rate, Mapping) else dict.fromkeys(variants, refine_rate)
    check_request(batches, rates, precision, mode, device, rounds)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    load = os.getloadavg()[0]
    try:
        calls = {
            label: prepare(*variant, batches[label], precision, mode, device, rates.get(label))
            for label, variant in variants.items()
        }
        compiled = graphs_compiled() if mode == "compiled" else 0
        samples = interleave(calls, device, rounds, warmup, seed, progress)
        shared: dict[str, Any] = {
            "threads": torch.get_num_threads(),
            "load_before": load,
            "rounds": rounds,
            "warmup_rounds": warmup,
        }
        if mode == "compiled":
            shared |= {"mode": mode, "graphs_compiled_while_timed": graphs_compiled() - compiled}
    finally:
        torch.set_num_threads(before)
    return {label: {**speed(taken, batches[label], rates.get(label)), **shared} for label, taken in samples.items()}


def check_request(
    batches: Mapping[str, int],
    rates: Mapping[str, float | None],
    precision: str,
    mode: str,
    device: str,
    rounds: int,
) -> None:
    if mode not in MODES:
        raise InputError(f"mode = {mode!r} does not work: it must be one of {', '.join(MODES)}")
    if precision not in PRECISIONS:
        raise InputError(f"precision = {precision!r} does not work: it must be one of {', '.join(PRECISIONS)}")
    if min(*batches.values(), rounds) < 1:
        raise InputError(f"batch_size = {min(batches.values())}, rounds = {rounds}: both must be at least 1")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device = {device!r}: there is no CUDA device here; use --device cpu")
    for rate in rates.values():
        if rate is not None and not 0 <= rate <= 1:
            raise InputError(f"refine_rate = {rate} does not work: it must be between 0 and 1")


def speed(taken: list[Sample], batch_size: int, refine_rate: float | None) -> dict[str, Any]:
    """Figures of one variant; where batches are streamed, latencies are of all of them."""
    if refine_rate is None:
        return summarise(taken, batch_size)
    streamed = {"refine_rate": refine_rate, "streamed_batches": STREAMED, "batch_size": batch_size}
    return {**summarise(taken, batch_size * STREAMED), **streamed}


def prepare(
    name: str,
    options: Mapping[str, Any],
    batch_size: int,
    precision: str,
    mode: str,
    device: str,
    refine_rate: float | None = None,
) -> Callable[[], None]:
    """A call that runs one batch (with a `refine_rate`, STREAMED ones) through one model; one that is to be compiled
    has been."""
    torch.manual_seed(0)
    model = create_model(name, **options).eval().to(device, PRECISIONS[precision])
    size = model.config.image_size
    count = batch_size * (1 if refine_rate is None else STREAMED)
    images: Tensor = torch.randn(count, 3, *size).to(device, PRECISIONS[precision])
    if refine_rate is not None and isinstance(model, SHaRPose) and model.config.stages == "coarse-fine":
        call = streaming_call(model, images, batch_size, refine_rate)
    else:
        call = batches_call(model, images, batch_size)
    if mode == "compiled":
        compile_model(model, [batch_size], device)
        # CUDA graphs are recorded at the second call
        call()
        call()
    return call


def batches_call(model: PoseModel, images: Tensor, batch_size: int) -> Callable[[], None]:
    def call() -> None:
        with torch.inference_mode():
            for batch in images.split(batch_size):
                model(batch)

    return call


def streaming_call(model: SHaRPose, images: Tensor, batch_size: int, refine_rate: float) -> Callable[[], None]:
    """Stream the batches with the threshold below which that share of these images' predicted qualities lies."""
    with torch.inference_mode():
        quality = torch.cat([model.coarse(batch).quality for batch in images.split(batch_size)]).sort().values
    edge = round(refine_rate * len(quality))
    # between the last that is refined and the first that is not
    edges = torch.cat([quality[:1] - 1, quality, quality[-1:] + 1])
    threshold = float(edges[edge : edge + 2].double().mean())
    model.config = replace(model.config, quality_threshold=threshold)

    def call() -> None:
        for _ in stream(model, images.split(batch_size), batch_size=batch_size):
            pass

    return call


def interleave(
    calls: Mapping[str, Callable[[], None]],
    device: str,
    rounds: int,
    warmup: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, list[Sample]]:
    """Time every call once per round, each round in a fresh random order; the first `warmup` rounds are dropped."""
    samples: dict[str, list[Sample]] = {label: [] for label in calls}
    order, chance = list(calls), random.Random(seed)
    for turn in range(warmup + rounds):
        chance.shuffle(order)
        for label in order:
            taken = timed(calls[label], device)
            if turn >= warmup:
                samples[label].append(taken)
        if progress:
            progress(turn + 1, warmup + rounds)
    return samples


def timed(call: Callable[[], None], device: str) -> Sample:
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    synchronise(device)
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def summarise(samples: list[Sample], batch_size: int) -> dict[str, Any]:
    """Median-based figures of one variant; latencies are of a whole call, in milliseconds."""
    wall = np.array([sample.wall_s for sample in samples])
    median = float(np.median(wall))
    low, high = np.percentile(wall, [25, 75])
    p50, p90, p99 = np.percentile(wall * 1e3, [50, 90, 99]).tolist()
    return {
        "images_per_s": batch_size / median,
        "batch_size": batch_size,
        "latency_ms_p50": p50,
        "latency_ms_p90": p90,
        "latency_ms_p99": p99,
        "cpu_s_per_image": statistics.median(sample.cpu_s for sample in samples) / batch_size,
        "relative_spread": float(high - low) / median,
        "noisy": bool((high - low) / median > NOISY_SPREAD),
        "samples_ms": [round(sample.wall_s * 1e3, 3) for sample in samples],
        "samples_cpu_ms": [round(sample.cpu_s * 1e3, 3) for sample in samples],
    }
