"""OpenVINO on the CPU: in fp32, where the processor has it in bf16, or with linear layers quantised by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sharpose.backends.extras import need
from sharpose.backends.graphs import Run
from sharpose.backends.onnx_runtime import quantise
from sharpose.runtime.errors import InputError

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's precision of what is not quantised, by ours."""
CAPABILITIES = "OPTIMIZATION_CAPABILITIES"


def why_not(precision: str) -> str | None:
    """Return why this processor cannot compute in a precision, with the way out; None where it can.

    Raises InputError for bf16 without the extra `openvino`.
    """
    if precision != "bf16" or "BF16" in need("openvino", "openvino").Core().get_property("CPU", CAPABILITIES):
        return None
    return "precision = 'bf16': this processor has no bf16 instructions; use fp32"


def compile_graph(path: Path, precision: str, threads: int) -> Run:
    """Return the graph of an ONNX file, ready to run.

    Raises InputError without the extra `openvino` (int8: and `onnx`), or for bf16 on a processor without it.
    """
    if reason := why_not(precision):
        raise InputError(reason)
    core = need("openvino", "openvino").Core()
    if precision == "int8":
        path = quantise(path)
    settings = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    inputs = [value.any_name for value in compiled.inputs]
    outputs = [value.any_name for value in compiled.outputs]

    def run(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = compiled({name: tensors[name].numpy() for name in inputs})
        return {name: torch.from_numpy(values[name]) for name in outputs}

    return run
