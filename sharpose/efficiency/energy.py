"""Energy by the counters of the hardware: NVML's of a GPU, RAPL's of a CPU package; no counter, no number."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

AT_LEAST_S = 1.0
"""The counter moves in steps of tens of milliseconds, so a measurement lasts this long at least."""


def joules_per_call(call: Callable[[], object], synchronise: Callable[[], None], device: str) -> float | None:
    """Measure the energy of one call, idle power included, as a mean over at least a second; None without a counter."""
    counter = open_nvml(device) if device.startswith("cuda") else open_rapl()
    if counter is None:
        return None
    synchronise()
    before, began, calls = counter(), time.perf_counter(), 0
    while time.perf_counter() - began < AT_LEAST_S:
        call()
        synchronise()
        calls += 1
    return (counter() - before) / calls


def open_rapl(folder: Path = Path("/sys/class/powercap")) -> Callable[[], float] | None:
    """Return a reader of all CPU packages' joules since some moment; their counters begin again at their range's end.

    None where they cannot be read.
    """
    packages = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
    try:
        ranges = [int((path / "max_energy_range_uj").read_text(encoding="utf-8")) for path in packages]
        last = [int((path / "energy_uj").read_text(encoding="utf-8")) for path in packages]
    except (OSError, ValueError):
        return None
    total = 0

    def joules() -> float:
        nonlocal total, last
        now = [int((path / "energy_uj").read_text(encoding="utf-8")) for path in packages]
        total += sum((new - old) % most for new, old, most in zip(now, last, ranges, strict=True))
        last = now
        return total / 1e6

    return joules if packages else None


def open_nvml(device: str) -> Callable[[], float] | None:
    """Return a reader of a CUDA device's joules since the driver was loaded; None without one or nvidia-ml-py."""
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
