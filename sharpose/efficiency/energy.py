"""Energy of a GPU by NVML's counter; no counter, no number."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

AT_LEAST_S = 1.0
"""The counter moves in steps of tens of milliseconds, so a measurement lasts this long at least."""


def joules_per_call(call: Callable[[], None], synchronise: Callable[[], None], device: str) -> float | None:
    """Energy of one call, idle power included, as a mean over at least a second; None without a counter."""
    counter = open_counter(device)
    if counter is None:
        return None
    synchronise()
    before, began, calls = counter(), time.perf_counter(), 0
    while time.perf_counter() - began < AT_LEAST_S:
        call()
        synchronise()
        calls += 1
    return (counter() - before) / calls


def open_counter(device: str) -> Callable[[], float] | None:
    """Joules since the driver was loaded, of a CUDA device; None where there is none, or no nvidia-ml-py."""
    if not device.startswith("cuda"):
        return None
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
        # by its id, since torch counts only the devices that it may see
        handle: Any = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
