"""Everything about the speed of variants in one interleaved run, and what the machine could do at most meanwhile."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import torch

from sharpose.backends.choice import EAGER, PACKED
from sharpose.efficiency.calls import make_calls
from sharpose.efficiency.energy import joules_per_call
from sharpose.efficiency.machine import copy_call, matmul_call, roofline
from sharpose.efficiency.memory import peak_memory_mib
from sharpose.efficiency.operators import operator_shares
from sharpose.efficiency.peers import PEERS, build_peer
from sharpose.efficiency.throughput import speed, time_calls
from sharpose.efficiency.timing import summarise, synchronise, torch_threads
from sharpose.efficiency.variants import Variant, check_variants, moved_bytes
from sharpose.runtime.errors import InputError

MATMUL, COPY = "matmul", "copy"
Metrics = dict[str, Any]


def measure_bench(
    variants: Mapping[str, Variant],
    *,
    device: str = "cpu",
    rounds: int = 10,
    warmup: int = 2,
    threads: int | None = None,
    memory: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Metrics]:
    """Return metrics by label, with every sample.

    Speed and latencies of a batch, place under the roofline, peak memory, energy, kinds of operators.

    A variant's samples are in the order of the rounds, so that those of two variants in one `session` can be paired.
    Multiply-adds (matmuls and convolutions, as executed) are those of one image that goes through every stage; over the
    scope `model-flip-decode` and beyond they are twice the model's. Weights are random. Raises InputError for anything
    that cannot be measured, before anything is.
    """
    if taken := {MATMUL, COPY} & set(variants):
        raise InputError(f"{', '.join(taken)}: is the machine's own row; give this variant another label")
    check_variants(variants, device, rounds)
    work = count_work(variants)
    with torch_threads(threads):
        calls = make_calls(variants, device, torch.get_num_threads())
        (matmul, multiplied), (copy, copied) = matmul_call(device), copy_call(device)
        load = os.getloadavg()[0]
        samples, graphs, facts = time_calls({**calls, MATMUL: matmul, COPY: copy}, device, rounds, warmup, progress)
        peak = summarise(samples.pop(MATMUL), 1)["images_per_s"] * multiplied
        bandwidth = summarise(samples.pop(COPY), 1)["images_per_s"] * copied
        facts |= {"session": uuid.uuid4().hex, "load_before": load}
        facts |= {"matmul_macs_per_s": peak, "copy_bytes_per_s": bandwidth}
        results = {}
        for label, variant in variants.items():
            joules = joules_per_call(calls[label], lambda: synchronise(device), device)
            found, by_operator = speed(variant, samples[label], graphs), variant.backend in (EAGER, PACKED)
            results[label] = {
                **found,
                **facts,
                **work[label],
                **roofline(work[label]["macs"], work[label]["moved_bytes"], 1 / found["images_per_s"], peak, bandwidth),
                "operators": operator_shares(calls[label]) if by_operator and device == "cpu" else None,
                "joules_per_image": None if joules is None else joules / variant.images_per_call,
            }
        # what was timed is freed before its memory is measured, one variant at a time
        calls.clear()
        for label, variant in variants.items() if memory else ():
            results[label]["peak_memory_mib"] = peak_memory_mib(variant, device, torch.get_num_threads())
    return results


def count_work(variants: Mapping[str, Variant]) -> dict[str, Metrics]:
    """Count parameters, multiply-adds and least bytes of one image, by label; every model is counted once."""
    counted: dict[tuple[str, ...], tuple[int, int, int]] = {}
    work = {}
    for label, variant in variants.items():
        key = variant.network[:2]
        if key not in counted:
            counted[key] = count_model(variant)
        params, macs, by_leaving = counted[key]
        runs = 1 if variant.scope == "model" else 2
        # an early exit has coarse heatmaps decoded instead
        spared = round((1 - variant.refined_share) * by_leaving)
        work[label] = {
            "params": params,
            "macs": runs * macs - spared,
            "moved_bytes": runs * moved_bytes(variant, params),
        }
    return work


def count_model(variant: Variant) -> tuple[int, int, int]:
    """Return parameters, multiply-adds of one image, and how many of these an early exit saves.

    Counted are executed matmuls and convolutions alone, of which multiply-adds per second are made.
    """
    from sharpose.efficiency.cost import count_torch, measure_cost

    if variant.model not in PEERS:
        cost = measure_cost(variant.model, variant.options)
        spared = cost.get("macs_torch_executed_fine", 0) - cost.get("macs_torch_executed_head", 0)
        return cost["params"], cost["macs_torch_executed"], spared
    from accelerate import init_empty_weights

    # its parameters have no values to be initialised; buffers have, as some libraries read them while they build
    with init_empty_weights():
        model = build_peer(variant.model, explicit_attention=True)
    model.eval().to("meta")
    config: Any = model.config
    images = torch.empty(1, 3, *config.image_size, device="meta")
    return sum(parameter.numel() for parameter in model.parameters()), count_torch(model, (images,))["torch"], 0
