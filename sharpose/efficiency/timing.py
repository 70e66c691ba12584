"""How long calls take: all of them interleaved in one run, every sample kept.

Ratios between calls of one run mean more than calls per second, so every round times every call once, in random order.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

NOISY_SPREAD = 0.25
"""A call is marked noisy where its interquartile range is above this fraction of its median."""


class Sample(NamedTuple):
    """One timed call: wall and process CPU time in seconds."""

    wall_s: float
    cpu_s: float


def interleave(
    calls: Mapping[str, Callable[[], object]],
    device: str,
    rounds: int,
    warmup: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Sample]]:
    """Time every call once per round, each round in a fresh random order; the first `warmup` rounds are dropped."""
    samples: dict[str, list[Sample]] = {label: [] for label in calls}
    order, chance = list(calls), random.Random(0)
    for turn in range(warmup + rounds):
        chance.shuffle(order)
        for label in order:
            taken = timed(calls[label], device)
            if turn >= warmup:
                samples[label].append(taken)
        if progress:
            progress(turn + 1, warmup + rounds)
    return samples


def timed(call: Callable[[], object], device: str) -> Sample:
    """Time one call, with the device idle before it and done after it."""
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    synchronise(device)
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)


def synchronise(device: str) -> None:
    """Wait until a CUDA device has done its work; nothing on a CPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Set torch's number of threads inside the block and restore it afterwards; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def summarise(samples: list[Sample], images: int) -> dict[str, Any]:
    """Return images/s, percentiles of the whole call's latency in ms, spread and samples of one call."""
    wall = np.array([sample.wall_s for sample in samples])
    median = float(np.median(wall))
    low, high = np.percentile(wall, [25, 75])
    p50, p90, p99 = np.percentile(wall * 1e3, [50, 90, 99]).tolist()
    return {
        "images_per_s": images / median,
        "latency_ms_p50": p50,
        "latency_ms_p90": p90,
        "latency_ms_p99": p99,
        "cpu_s_per_image": statistics.median(sample.cpu_s for sample in samples) / images,
        "relative_spread": float(high - low) / median,
        "noisy": bool((high - low) / median > NOISY_SPREAD),
        "samples_ms": [round(sample.wall_s * 1e3, 3) for sample in samples],
        "samples_cpu_ms": [round(sample.cpu_s * 1e3, 3) for sample in samples],
    }
