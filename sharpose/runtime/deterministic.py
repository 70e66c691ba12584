"""The same bits from the same input, also on a GPU."""

from __future__ import annotations

import os

import torch


def make_deterministic() -> None:
    """Let this process from now on compute with deterministic algorithms alone; torch raises RuntimeError at any other.

    On a CPU with a fixed number of threads nothing changes: it is deterministic already.
    """
    # cuBLAS reads this when it starts; without it matmuls on several streams may differ
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
