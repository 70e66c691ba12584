"""What every operator of a call computes and moves: a prediction of its time that knows more than multiply-adds.

An operator takes at least the time of its matmuls at the machine's rate, or of its bytes at the machine's bandwidth,
whichever is longer (the roofline, Williams et al., 2009). A call takes the sum: operators run one after the other, and
each is taken to read its inputs from memory and to write its output there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
UNMOVED = ("empty", "new_empty", "empty_strided", "empty_like")
"""Operators that only take memory."""


class Work(NamedTuple):
    """Multiply-adds of an operator, and the bytes of its inputs and outputs."""

    macs: int
    moved_bytes: int


class Recorder(TorchDispatchMode):
    """Notes the work of every operator that runs inside it, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Work] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and note its work."""
        given = kwargs or {}
        out = func(*args, **given)
        views = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
        if not views and func.overloadpacket.__name__ not in UNMOVED:
            tensors = [one for one in tree_leaves((args, given, out)) if isinstance(one, Tensor)]
            moved = sum(one.numel() * one.element_size() for one in tensors)
            self.done.append(Work(macs_of(func.overloadpacket, args, given, out), moved))
        return out


def macs_of(packet: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> int:
    """Return an operator's multiply-adds, 0 unless it is a matmul: torch's formulas, and a CPU's fused attention."""
    if packet is CPU_ATTENTION:
        return sdpa_flop_count(args[0].shape, args[1].shape, args[2].shape) // 2
    formula = flop_registry.get(packet)
    return 0 if formula is None else formula(*args, **kwargs, out_val=out) // 2


@torch.no_grad()
def operator_work(call: Callable[[], Any]) -> list[Work]:
    """Return the work of every operator of a call, in their order; the call is made once, as torch's own operators."""
    with Recorder() as recorder:
        call()
    return recorder.done


def predicted_seconds(work: Sequence[Work], macs_per_s: float, bytes_per_s: float) -> float:
    """Return the time of operators one after the other, each as long as its matmuls or its bytes take."""
    return sum(max(one.macs / macs_per_s, one.moved_bytes / bytes_per_s) for one in work)
