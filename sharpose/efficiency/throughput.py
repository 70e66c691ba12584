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
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sharpose.errors import InputError
from sharpose.models import create_model
from sharpose.models.output import PoseModel
from sharpose.models.sharpose import SHaRPose

NOISY_SPREAD = 0.25
"""Half of the samples of a variant lie within this share of its median, or the variant is marked noisy."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Sample(NamedTuple):
    """One timed batch: wall and process CPU time in seconds."""

    wall_s: float
    cpu_s: float


def measure_throughput(
    variants: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    batch_size: int | Mapping[str, int],
    forced_rates: Mapping[str, float | None] | None = None,
    precision: str = "fp32",
    device: str = "cpu",
    rounds: int = 10,
    warmup: int = 2,
    threads: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Metrics of every variant (label: model name and options), measured round by round in random order.

    Weights are random: speed does not depend on them where no instance exits early, which the options have to say.
    batch_size: of all, or by label. forced_rates: by label, the share of the batch that is made to look again (None:
    as the options say); with it every instance runs the quality predictor and takes the early-exit path.
    Raises InputError for a device or precision that is not to be had, or rounds below 1.
    """
    batches = batch_size if isinstance(batch_size, Mapping) else dict.fromkeys(variants, batch_size)
    rates = forced_rates or {}
    if precision not in PRECISIONS:
        raise InputError(f"precision = {precision!r} does not work: it must be one of {', '.join(PRECISIONS)}")
    if min(*batches.values(), rounds) < 1:
        raise InputError(f"batch_size = {batch_size}, rounds = {rounds}: both must be at least 1")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device = {device!r}: there is no CUDA device here; use --device cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    load = os.getloadavg()[0]
    try:
        calls = {
            label: prepare(*variant, batches[label], precision, device, rates.get(label))
            for label, variant in variants.items()
        }
        samples = interleave(calls, device, rounds, warmup, seed, progress)
        facts = {"threads": torch.get_num_threads(), "load_before": load, "rounds": rounds, "warmup_rounds": warmup}
    finally:
        torch.set_num_threads(before)
    return {label: {**summarise(taken, batches[label]), **facts} for label, taken in samples.items()}


class ForcedQuality(nn.Module):
    """A quality predictor that does its work and then says 0 to the first instances of a batch and 1 to the others."""

    def __init__(self, predictor: nn.Module, refined: int) -> None:
        super().__init__()
        self.predictor, self.refined = predictor, refined

    def forward(self, token: Tensor) -> Tensor:
        quality = self.predictor(token)
        return (torch.arange(len(quality), device=quality.device) >= self.refined).to(quality)


def forced(model: PoseModel, batch_size: int, refine_rate: float) -> PoseModel:
    """`model` made to refine a share of every batch. InputError where that is no whole number of people."""
    refined = round(refine_rate * batch_size)
    if (
        not isinstance(model, SHaRPose)
        or model.config.stages != "coarse-fine"
        or model.config.quality_threshold is None
    ):
        raise InputError("a refine rate needs a SHaRPose of two stages with a quality_threshold")
    if abs(refined - refine_rate * batch_size) > 1e-9:
        raise InputError(f"refine_rate = {refine_rate} of a batch of {batch_size} is no whole number of people")
    if not 0 < model.config.quality_threshold <= 1:
        raise InputError(f"quality_threshold = {model.config.quality_threshold}: a refine rate needs one in (0, 1]")
    model.quality_predictor = ForcedQuality(model.quality_predictor, refined)  # type: ignore[assignment]
    return model


def prepare(
    name: str,
    options: Mapping[str, Any],
    batch_size: int,
    precision: str,
    device: str,
    refine_rate: float | None = None,
) -> Callable[[], None]:
    """A call that runs one batch through one model."""
    torch.manual_seed(0)
    model = create_model(name, **options)
    if refine_rate is not None:
        model = forced(model, batch_size, refine_rate)
    model = model.eval().to(device, PRECISIONS[precision])
    size = model.config.image_size
    images: Tensor = torch.randn(batch_size, 3, *size).to(device, PRECISIONS[precision])

    def call() -> None:
        with torch.inference_mode():
            model(images)

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
    """Median-based figures of one variant; latencies are of a whole batch, in milliseconds."""
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
