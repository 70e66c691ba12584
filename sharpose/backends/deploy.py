"""A model on another back-end: called like the model it was made from, with the same typed result."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from sharpose.backends.choice import COMPILED, EAGER, PACKED, check_backend
from sharpose.backends.compiled import compile_model
from sharpose.backends.graphs import COARSE, Graph, Run, graphs_of
from sharpose.backends.onnx_export import write_graph
from sharpose.backends.packed import can_pack, pack_linears, why_not_packed
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.sharpose.model import SHaRPose
from sharpose.models.sharpose.output import CoarseStage, FineStage
from sharpose.runtime.errors import InputError

MODULES = {"onnxruntime": "sharpose.backends.onnx_runtime", "openvino": "sharpose.backends.openvino"}
"""Each has `compile_graph(path, precision, threads) -> Run`."""


class Deployed(PoseModel):
    """A model of one graph on another back-end."""

    def __init__(self, model: PoseModel, runs: Mapping[str, Run]) -> None:
        super().__init__()
        self.config, self.runs = model.config, runs

    def forward(self, images: Tensor) -> PoseOutput:
        """Return the heatmaps of normalised images (B, 3, H, W)."""
        return PoseOutput(**self.runs["whole"]({"images": images}))


class DeployedSHaRPose(SHaRPose):
    """SHaRPose whose stages run on another back-end.

    The early exit between them is inherited, with the head, which may decode the coarse tokens of those who exit.
    """

    def __init__(self, model: SHaRPose, runs: Mapping[str, Run]) -> None:
        PoseModel.__init__(self)
        self.config, self.runs, self.head = model.config, runs, copy.deepcopy(model.head)

    def coarse(self, images: Tensor) -> CoarseStage:
        """Return the coarse stage of normalised images (B, 3, H, W), from its graph."""
        found = self.runs["coarse"]({"images": images})
        # of instances that exit; the head is here, too
        del found["heatmaps"]
        return CoarseStage(**found)

    def fine(self, images: Tensor, coarse: CoarseStage | None, alpha: float | None = None) -> FineStage:
        """Return the fine stage of normalised images (R, 3, H, W), from its graph.

        Raises InputError for an `alpha` other than the exported one.
        """
        if alpha is not None and alpha != self.config.alpha:
            raise InputError(f"alpha = {alpha}: the graphs were exported for {self.config.alpha}; deploy another model")
        given = {} if coarse is None else {COARSE + name: value for name, value in coarse.tensors().items()}
        found = self.runs["fine"]({"images": images, **given})
        return FineStage(found["heatmaps"], found["keypoint_tokens"], found.get("keep_indices"))


def deploy(
    model: PoseModel,
    backend: str = EAGER,
    *,
    precision: str = "fp32",
    threads: int | None = None,
    batch_size: int = 1,
    device: str = "cpu",
) -> PoseModel:
    """Return `model` on another back-end, behind its own interface.

    It is `model` itself for `eager`, changed in place for `compiled` and `packed`; else its graphs, compiled by a
    runtime.

    threads: of the runtime; None for as many as torch uses. batch_size, device: of the batches that will come, which
    only `compiled` must know; smaller graphs, for one person and for few refined ones, are made when they come.
    The weights are copied, except by `eager` and `compiled`: later changes do not show. Raises InputError for what
    the back-end cannot do, or a package that is missing.
    """
    check_backend(backend, precision, device)
    if backend == EAGER:
        return model
    if backend == COMPILED:
        compile_model(model.eval(), [1, max(1, batch_size // 4), batch_size], device)
        return model
    if backend == PACKED:
        pack_linears(model, precision)
        return model
    compile_file = import_module(MODULES[backend]).compile_graph
    threads = threads or torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        return deploy_graphs(
            model.cpu(), lambda graph: compile_file(write_graph(graph, Path(folder)), precision, threads)
        )


def deploy_graphs(model: PoseModel, compile_graph: Callable[[Graph], Run]) -> PoseModel:
    """Return `model` with each of its static graphs run as `compile_graph` has it, behind its own interface."""
    runs = {graph.name: compile_graph(graph) for graph in graphs_of(model.eval())}
    deployed = DeployedSHaRPose(cast(SHaRPose, model), runs) if model.stages else Deployed(model, runs)
    return deployed.eval()


def why_not(backend: str, precision: str) -> str | None:
    """Return why an installed back-end cannot compute in a precision here, with the way out; None where it can."""
    if backend == PACKED:
        return why_not_packed(precision)
    return import_module(MODULES[backend]).why_not(precision) if backend == "openvino" else None


def usual_backend(device: str) -> str:
    """Return the fastest of those that differ from torch by rounding alone and need nothing installed."""
    return PACKED if device == "cpu" and can_pack() else EAGER
