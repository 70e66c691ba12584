"""How far a compiled graph is from torch."""

from __future__ import annotations

import torch
from torch import Tensor

from sharpose.backends.graphs import Graph, Run


def largest_difference(graph: Graph, run: Run) -> float:
    """How far a compiled graph is from torch: the largest relative error, ‖a - b‖ / ‖b‖, of its outputs.

    On a batch of another size than the traced one. Indices must agree exactly, or the difference is infinite.
    """
    inputs = {name: torch.cat([value, value.flip(0), value[:1]]) for name, value in graph.inputs.items()}
    with torch.inference_mode():
        expected = dict(zip(graph.outputs, graph.module(*inputs.values()), strict=True))
    found = run(inputs)
    return max(difference(found[name], expected[name]) for name in graph.outputs)


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the norm of the error relative to that of what is expected; of whole numbers, infinity unless equal.

    Both have the same shape (B, ...).
    """
    if not expected.is_floating_point():
        return 0.0 if torch.equal(found, expected) else float("inf")
    return float((found - expected).norm() / expected.norm())
