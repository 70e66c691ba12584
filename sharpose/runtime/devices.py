"""Which device computes."""

from __future__ import annotations

import re

import torch

from sharpose.runtime.errors import InputError


def check_device(device: str) -> None:
    """Raise InputError unless `device` is cpu, cuda or cuda:NUMBER, and is here."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise InputError(f"--device {device!r} does not work: it must be cpu or cuda")
    if device != "cpu" and torch.cuda.device_count() <= int(device.partition(":")[2] or 0):
        raise InputError(f"--device {device}: there is no such CUDA device here; use --device cpu")
