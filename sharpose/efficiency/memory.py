"""Peak memory of a variant in a process of its own, so that nothing else counts."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from sharpose.efficiency.calls import make_call
from sharpose.efficiency.variants import Variant, build_network

CALLS = 2
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory_mib(variant: Variant, device: str, threads: int | None) -> float | None:
    """Measure memory as it runs: on a CPU the process's resident memory (torch included), on a GPU torch's.

    None where the system does not say.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure_peak, variant, device, threads).result()


def measure_peak(variant: Variant, device: str, threads: int | None) -> float | None:
    """Measure the peak in this process, from when the network is ready; what building it took is given back first."""
    if threads:
        torch.set_num_threads(threads)
    call = make_call(variant, build_network(variant, device, threads), device)
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    elif not reset_resident_peak():
        return None
    for _ in range(CALLS):
        call()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) / 2**20
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else None


def reset_resident_peak() -> bool:
    """Let the kernel's high-water mark of resident memory start anew; False where there is none (off Linux)."""
    try:
        # freed memory that the allocator keeps would count as used
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5", encoding="utf-8")
    except (OSError, AttributeError):
        return False
    return True
