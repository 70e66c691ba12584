"""How fast models are: all variants interleaved in one run, every sample kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from sharpose.backends.choice import COMPILED
from sharpose.backends.compiled import graphs_compiled
from sharpose.efficiency.calls import Call, make_calls
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
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return metrics of every variant by label, measured round by round in random order.

    Weights are random: speed does not depend on them where no instance exits early, which the options have to say.
    What is to be compiled is compiled before the first round; `graphs_compiled_while_timed` says whether more was.
    Raises InputError for anything that cannot be measured, before anything is.
    """
    check_variants(variants, device, rounds)
    load = os.getloadavg()[0]
    with torch_threads(threads):
        calls = make_calls(variants, device, threads)
        samples, graphs, shared = time_calls(calls, device, rounds, warmup, progress)
    shared["load_before"] = load
    return {label: {**speed(one, samples[label], graphs), **shared} for label, one in variants.items()}


def time_calls(
    calls: Mapping[str, Call], device: str, rounds: int, warmup: int, progress: Callable[[int, int], None] | None
) -> tuple[dict[str, list[Sample]], int, dict[str, Any]]:
    """Time calls interleaved: their samples, the graphs compiled meanwhile, and what a record says of the run."""
    graphs, before = graphs_compiled(), read_clocks(device)
    samples = interleave(calls, device, rounds, warmup, progress)
    facts = {"threads": torch.get_num_threads(), "rounds": rounds, "warmup_rounds": warmup}
    return samples, graphs_compiled() - graphs, {**changes(before, read_clocks(device)), **facts}


def speed(variant: Variant, samples: list[Sample], graphs: int) -> dict[str, Any]:
    """Return figures of one variant; latencies and samples are of a call: several batches where streamed.

    graphs: those compiled while all variants were timed.
    """
    found = {**summarise(samples, variant.images_per_call), "batch_size": variant.batch_size}
    if variant.refine_rate is not None:
        found |= {"images_per_call": variant.images_per_call, "refine_rate": variant.refined_share}
    if variant.backend == COMPILED:
        found |= {"mode": COMPILED, "graphs_compiled_while_timed": graphs}
    return found
