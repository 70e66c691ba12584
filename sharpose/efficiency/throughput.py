"""How fast models are: all variants interleaved in one run, every sample kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from sharpose.backends.choice import COMPILED
from sharpose.backends.compiled import graphs_compiled
from sharpose.efficiency.calls import make_calls
from sharpose.efficiency.clocks import changes, read_clocks
from sharpose.efficiency.timing import Sample, interleave, summarise, torch_threads
from sharpose.efficiency.variants import Variant, check_variants


def measure_throughput(
    variants: Mapping[str, Variant],
    *,
    device: str = "cpu",
    rounds: int = 10,
    warmup: int = 2,
    threads: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Metrics of every variant by label, measured round by round in random order.

    Weights are random: speed does not depend on them where no instance exits early, which the options have to say.
    What is to be compiled is compiled before the first round; `graphs_compiled_while_timed` says whether more was.
    Raises InputError for anything that cannot be measured, before anything is.
    """
    check_variants(variants, device, rounds)
    load = os.getloadavg()[0]
    with torch_threads(threads):
        calls = make_calls(variants, device, threads)
        compiled = graphs_compiled()
        before = read_clocks(device)
        samples = interleave(calls, device, rounds, warmup, seed, progress)
        shared = {
            **changes(before, read_clocks(device)),
            "threads": torch.get_num_threads(),
            "load_before": load,
            "rounds": rounds,
            "warmup_rounds": warmup,
        }
        compiled = graphs_compiled() - compiled
    return {
        label: {**speed(one, samples[label]), **compiler(one, compiled), **shared} for label, one in variants.items()
    }


def speed(variant: Variant, samples: list[Sample]) -> dict[str, Any]:
    """Figures of one variant; latencies and samples are of a call, which is several batches where they are streamed."""
    found = {**summarise(samples, variant.images_per_call), "batch_size": variant.batch_size}
    if variant.refine_rate is None:
        return found
    return {**found, "images_per_call": variant.images_per_call, "refine_rate": variant.refined_share}


def compiler(variant: Variant, graphs: int) -> dict[str, Any]:
    """What a compiled variant's record says of the compiler: `graphs` made while all variants were timed."""
    if variant.backend != COMPILED:
        return {}
    return {"mode": COMPILED, "graphs_compiled_while_timed": graphs}
