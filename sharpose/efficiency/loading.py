"""How fast crops are made for training, part by part, and how fast a device would use them up."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sharpose.data.coco import CocoTopDown
from sharpose.runtime.errors import InputError

TRAINING_PASSES = 3
"""A training step costs about three forward passes: one forward, two backward."""


def measure_loading(people: CocoTopDown, crops: int) -> dict[str, float]:
    """Measure CPU milliseconds per crop of one process, in a random order as in training, on the median of crops.

    `crop_ms` is the whole; `decode_ms` its reading and decoding of the photograph, which `--preload` does once;
    `warp_ms` the rest: random draws, warping, keypoints. Raises InputError for fewer crops than 1.
    """
    if crops < 1:
        raise InputError(f"crops = {crops} does not work: at least one is needed to be timed")
    order = np.random.default_rng(0).choice(len(people), size=crops, replace=crops > len(people))
    whole, warp = [], []
    for index in order.tolist():
        people.forget()
        whole.append(cpu_ms(lambda index=index: people.sample(index, 0)))  # type: ignore[misc]
        # the photograph is still there
        warp.append(cpu_ms(lambda index=index: people.sample(index, 0)))  # type: ignore[misc]
    total, rest = float(np.median(whole)), float(np.median(warp))
    return {
        "crops": crops,
        "crop_ms": total,
        "decode_ms": total - rest,
        "warp_ms": rest,
        "crops_per_s_per_core": 1e3 / total,
        "crops_per_s_per_core_preloaded": 1e3 / rest,
    }


def cpu_ms(call: Callable[[], object]) -> float:
    """Return the CPU time of a call in milliseconds, that of all threads of this process."""
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1e3


def crops_needed(macs: float, tflops: float, utilisation: float) -> float:
    """Return crops per second that training uses up on a device, calculated from one crop's forward multiply-adds.

    tflops: the device's rate at the precision, two operations per multiply-add; utilisation: the share that is reached.
    """
    return tflops * 1e12 * utilisation / (2 * TRAINING_PASSES * macs)
