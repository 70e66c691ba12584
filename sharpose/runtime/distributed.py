"""What several processes of one training or evaluation do together; with one process all of it is free.

Processes are started by `torchrun`, which tells them their rank; everything here also works without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sharpose.runtime.progress import launched


def join(device: str) -> None:
    """Meet the other processes, where there are any: through gloo on CPUs, NCCL on GPUs."""
    if launched() and not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")


def rank_and_world() -> tuple[int, int]:
    """Return this process's number and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def any_of(flags: Mapping[str, bool], device: torch.device | str = "cpu") -> dict[str, bool]:
    """Return each flag that is set in at least one process, so that all of them take the same turn."""
    if rank_and_world()[1] == 1:
        return dict(flags)
    raised = torch.tensor([float(flag) for flag in flags.values()], device=device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return {name: value > 0 for name, value in zip(flags, raised.tolist(), strict=True)}


def mean_of(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return each value, a scalar, averaged over the processes."""
    world = rank_and_world()[1]
    stacked = torch.stack([value.detach().float() for value in values.values()])
    if world > 1:
        dist.all_reduce(stacked)
    return dict(zip(values, (stacked / world).tolist(), strict=True))


def gathered(part: Any) -> list[Any]:
    """Return the parts of every process, in the order of their numbers; plain objects and arrays."""
    world = rank_and_world()[1]
    if world == 1:
        return [part]
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, part)
    return parts
