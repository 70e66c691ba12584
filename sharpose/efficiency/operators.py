"""Which operators a call spends its time on, by torch's profiler: what a ratio that falls short is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from torch.profiler import ProfilerActivity, profile

CALLS = 3
KINDS: Mapping[str, tuple[str, ...]] = {
    # its kernels may be named after matmuls as well
    "attention": ("attention",),
    "products": ("mm", "linear", "matmul"),
    "convolutions": ("conv",),
    "activations": ("gelu", "relu", "clamp", "sigmoid"),
    "norms": ("norm",),
    "softmax": ("softmax",),
    "copies": ("copy", "cat", "clone", "gather", "index", "contiguous", "_to_copy", "sort"),
}
"""Words in the name of an operator, by kind; the first kind that fits. The rest is `other`."""


def operator_shares(call: Callable[[], Any]) -> dict[str, float]:
    """Return the fractions of a call's CPU time by kind of operator, which sum to 1.

    `products` are matmuls, a fused GELU included; copies include the bias that an unfused matmul begins with.
    """
    # the profiler's library tells about itself on standard error
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    call()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(CALLS):
            call()
    spent: dict[str, float] = {}
    for operator in profiler.key_averages():
        kind = kind_of(operator.key)
        spent[kind] = spent.get(kind, 0.0) + operator.self_cpu_time_total
    total = sum(spent.values())
    return {kind: round(time / total, 4) for kind, time in sorted(spent.items(), key=lambda one: -one[1])}


def kind_of(operator: str) -> str:
    """Return the kind of an operator by its name, `other` for one that no kind knows."""
    name = operator.rpartition("::")[2]
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")
