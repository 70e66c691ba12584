"""ONNX Runtime on the CPU, in fp32 or with dynamically quantised linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sharpose.backends.extras import need, quiet
from sharpose.backends.graphs import Run


def compile_graph(path: Path, precision: str, threads: int) -> Run:
    """Return the graph of an ONNX file, ready to run. Raises InputError without the extra `onnx`."""
    runtime = need("onnx", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # waiting threads sleep, so that they take nothing from what runs next to them
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if precision == "int8":
        path = quantise(path)
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]

    def run(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = session.run(outputs, {name: tensors[name].numpy() for name in inputs})
        return {name: torch.from_numpy(value) for name, value in zip(outputs, values, strict=True)}

    return run


def quantise(path: Path) -> Path:
    """Quantise linear layers to int8: weights per output channel, activations by their range in every call."""
    need("onnx", "onnx")
    need("onnx", "onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantised = path.with_suffix(".int8.onnx")
    with quiet():
        quantize_dynamic(
            path, quantised, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
        )
    return quantised
