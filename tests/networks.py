"""A network small enough to be written by hand: one convolution, in torch and as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

SIZE, MAPS = (128, 96), (32, 24)


class Convolution(nn.Module):
    """Every 4 by 4 pixels to one of each of 17 maps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 17, 4, stride=4)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)

    def forward(self, images: Tensor) -> Any:
        return SimpleNamespace(heatmaps=self.layer(images))


def write_onnx(
    path: Path,
    batch: int | str = "batch",
    size: tuple[int | str, int | str] = SIZE,
    outputs: tuple[str, ...] = ("maps",),
) -> Path:
    """The network as a file; of a batch size and input size that are fixed, or free (a name). Outputs: `maps`, `twice`
    (the same maps doubled), `places` (where each map is greatest)."""
    layer = Convolution().layer
    weights = [
        numpy_helper.from_array(layer.weight.detach().numpy(), "w"),
        numpy_helper.from_array(layer.bias.detach().numpy(), "b"),  # type: ignore[union-attr]
        numpy_helper.from_array(np.array([0, 17, -1], dtype=np.int64), "flat"),
    ]
    nodes = [
        helper.make_node("Conv", ["images", "w", "b"], ["maps"], strides=[4, 4]),
        helper.make_node("Add", ["maps", "maps"], ["twice"]),
        helper.make_node("Reshape", ["maps", "flat"], ["rows"]),
        helper.make_node("ArgMax", ["rows"], ["places"], axis=2, keepdims=0),
    ]
    four = [batch, 17, "h", "w"]
    kinds = {"maps": (TensorProto.FLOAT, four), "twice": (TensorProto.FLOAT, four), "places": (TensorProto.INT64, None)}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info(name, *kinds[name]) for name in outputs],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
