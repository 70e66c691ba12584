"""What the machine can do at most, measured in the same run as the models, so that it is loaded alike.

The roofline (Williams et al., 2009): a computation of intensity I (multiply-adds per byte it must move) reaches at most
min(peak rate, I x bandwidth).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

MATMUL_SIZE = {"cpu": 1536, "cuda": 8192}
COPIED_BYTES = {"cpu": 128 * 2**20, "cuda": 2**30}
BYTES_PER_NUMBER = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}


def matmul_call(device: str, dtype: torch.dtype = torch.float32) -> tuple[Callable[[], object], int]:
    """Return a call of one large matmul in a precision, and its multiply-adds."""
    size = MATMUL_SIZE[device.partition(":")[0]]
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    out = torch.empty(size, size, device=device, dtype=dtype)
    return lambda: torch.mm(a, b, out=out), size**3


def copy_call(device: str) -> tuple[Callable[[], object], int]:
    """Return a call of one large copy in memory, and the bytes it reads and writes."""
    size = COPIED_BYTES[device.partition(":")[0]]
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * size


def roofline(macs: int, moved_bytes: int, seconds: float, peak: float, bandwidth: float) -> dict[str, float]:
    """Return where `macs` in `seconds` stand under the roof of `peak` (multiply-adds/s) and `bandwidth` (bytes/s)."""
    rate, intensity = macs / seconds, macs / moved_bytes
    return {
        "macs_per_s": rate,
        "macs_per_byte": intensity,
        "share_of_matmul_rate": rate / peak,
        "share_of_roof": rate / min(peak, intensity * bandwidth),
    }
